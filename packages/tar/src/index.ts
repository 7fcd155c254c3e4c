/**
 * The tar format (ustar and pax): deterministic headers, encoder, and a reader of all that tar programs write.
 * @module
 */
export { encodeTar } from "./encoder.ts";
export type { DeviceEntry, ExtendedAttribute, FileEntry, LinkEntry, PlainEntry, TarEntry } from "./entry.ts";
export { blockSize, encodeHeader } from "./header.ts";
export { readTarMember, type TarInput, type TarMember } from "./reader.ts";
export type { PaxRecords } from "./pax.ts";
export type { Segment } from "./sparse.ts";
