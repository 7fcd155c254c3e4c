/**
 * What makes an image boot.
 * @module
 */
export * from "./authenticode.ts";
export * from "./esp.ts";
export * from "./kernel-modules.ts";
export * from "./kernel-version.ts";
export * from "./pe.ts";
export * from "./pe-checksum.ts";
export * from "./sbat.ts";
export * from "./sign-file.ts";
export * from "./uki.ts";
export * from "./uki-file.ts";
