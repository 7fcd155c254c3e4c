/**
 * The constants of casync's index file, which `.caibx` (blob) and `.caidx` (tree) share. Unsigned
 * 64-bit little-endian words:
 *
 * | offset | field |
 * |---|---|
 * | 0 | header: 48, type, feature flags, chunk size min, avg, max |
 * | 48 | table: 2^64 − 1 (its size is told by its tail), type |
 * | 64 + 40·i | where chunk i ends in the stream, then its id of 32 bytes |
 * | 64 + 40·n | tail: 0, 0, 48, size of the table 16 + 40·n + 40, tail mark |
 * @module
 */
import type { DigestAlgorithm } from "./digest.ts";

export const indexType = 0x9682_4d9c_7b12_9ff9n;
export const tableType = 0xe75b_9e11_2f17_417dn;
export const tailMark = 0x4b4f_050e_5549_ecd1n;
export const unknownTableSize = 0xffff_ffff_ffff_ffffn;

/** Lengths in bytes. */
export const headerSize = 48;
export const tableHeaderSize = 16;
export const entrySize = 40;
export const tailSize = 40;
/** Offset of the first entry. */
export const entriesOffset: number = headerSize + tableHeaderSize;

/** Feature flag of the digest: set for SHA-512/256, absent for SHA-256. */
const sha512_256Flag: bigint = 1n << 61n;
/** Every bit with a meaning: 33 features of archives and 4 switches. An index with others is refused. */
export const knownFlags: bigint = 0x1_ffff_ffffn | (0xfn << 60n);
// A blob has no features of archives; casync records its three exclusion switches all the same.
const blobSwitches: bigint = (1n << 60n) | (1n << 63n);

/** The flags word that casync writes into a blob's index by default. */
export function blobFlags(digest: DigestAlgorithm = "sha512-256"): bigint {
  return digest === "sha512-256" ? blobSwitches | sha512_256Flag : blobSwitches;
}

/** The digest that an index's or archive's flags word names. */
export function digestOfFlags(flags: bigint): DigestAlgorithm {
  return (flags & sha512_256Flag) === 0n ? "sha256" : "sha512-256";
}

/** Bytes of an index with so many chunks. */
export function indexFileSize(chunks: number): number {
  return entriesOffset + entrySize * chunks + tailSize;
}
