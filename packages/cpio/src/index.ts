/**
 * The cpio format (newc): deterministic headers, encoder.
 * @module
 */
export { encodeCpio } from "./encoder.ts";
export type { CpioEntry, DeviceEntry, FileEntry, HardLink, PlainEntry, SymlinkEntry } from "./entry.ts";
