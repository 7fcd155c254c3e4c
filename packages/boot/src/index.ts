/**
 * What makes an image boot.
 * @module
 */
export * from "./addon-file.ts";
export * from "./authenticode.ts";
export * from "./esp.ts";
export * from "./firmware-files.ts";
export * from "./grub-bios.ts";
export * from "./grub-config.ts";
export * from "./kernel-modules.ts";
export * from "./kernel-version.ts";
export * from "./measure-uki.ts";
export * from "./pcr-signature.ts";
export * from "./pe.ts";
export * from "./pe-checksum.ts";
export * from "./sbat.ts";
export * from "./secure-boot-variables.ts";
export * from "./sign-file.ts";
export * from "./uki.ts";
export * from "./uki-file.ts";
export * from "./uki-profile.ts";
export * from "./variable-store.ts";
