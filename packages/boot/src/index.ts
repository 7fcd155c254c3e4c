/**
 * What makes an image boot.
 * @module
 */
export * from "./esp.ts";
export * from "./kernel-modules.ts";
export * from "./kernel-version.ts";
export * from "./pe.ts";
export * from "./sbat.ts";
export * from "./uki.ts";
export * from "./uki-file.ts";
