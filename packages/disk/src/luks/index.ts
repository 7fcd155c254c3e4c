/**
 * LUKS2 volumes: header and key slot, encryption, files with passphrases.
 * @module
 */
export * from "./encrypt-file.ts";
export * from "./format.ts";
export { luksDataOffset, type LuksKdf } from "./header.ts";
export * from "./passphrase.ts";
