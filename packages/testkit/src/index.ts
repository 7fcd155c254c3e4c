/**
 * Peers, capabilities and fixtures for the tests of the imgtool packages. Never published.
 * @module
 */
export * from "./keys.ts";
export * from "./debian-tree.ts";
export * from "./efi-program.ts";
export * from "./gnu-cpio.ts";
export * from "./loop-device.ts";
export * from "./mounts.ts";
export * from "./needs.ts";
export * from "./processes.ts";
export * from "./random.ts";
export * from "./run.ts";
export * from "./temporary.ts";
