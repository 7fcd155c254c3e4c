/**
 * The tar format (ustar and pax): deterministic headers, encoder.
 * @module
 */
export { encodeTar } from "./encoder.ts";
export type { DeviceEntry, ExtendedAttribute, FileEntry, LinkEntry, PlainEntry, TarEntry } from "./entry.ts";
export { blockSize, encodeHeader } from "./header.ts";
