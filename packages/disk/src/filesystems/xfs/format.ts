/**
 * What the structures of XFS on disk have in common ("XFS Algorithms & Data Structures", 3rd edition;
 * the kernel's xfs_format.h and xfs_da_format.h). Numbers are big-endian, checksums little-endian;
 * every block of metadata says which file system, which owner and which place it belongs to.
 * @module
 */
import type { NodeKind } from "../../tree/node.ts";
import { crc32c } from "../../crc32.ts";

export const blockSize = 4096;
export const inodeSize = 512;
export const inodesPerBlock: number = blockSize / inodeSize;
/** Inodes are allocated 64 at a time. */
export const inodesPerChunk = 64;
export const chunkBlocks: number = inodesPerChunk / inodesPerBlock;
/** Bytes of an inode behind its fixed fields, for the data fork and the attribute fork. */
export const forkRoom: number = inodeSize - 176;

/** Blocks of a file (`logical`) and where they are, counted through all allocation groups (`start`). */
export interface Extent {
  readonly logical: number;
  readonly start: number;
  readonly count: number;
}

/** A run of blocks of a file that need space. */
export interface Run {
  readonly logical: number;
  readonly count: number;
}

/** What a block of metadata says of itself. */
export interface Identity {
  readonly uuid: Uint8Array;
  /** Number of the inode it belongs to. */
  readonly owner: number;
  /** Its place, counted through all allocation groups. */
  readonly block: number;
}

/** XFS_DIR3_FT_* of the kinds of files. */
export const fileTypes: Readonly<Record<NodeKind, number>> = {
  file: 1,
  directory: 2,
  character: 3,
  block: 4,
  fifo: 5,
  socket: 6,
  symlink: 7,
};

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function setU64(view: DataView, at: number, value: number): void {
  view.setBigUint64(at, BigInt(value));
}

/** The disk address that headers hold: in units of 512 bytes. */
export function setAddress(view: DataView, at: number, block: number): void {
  setU64(view, at, block * (blockSize / 512));
}

/** Puts the checksum of a whole structure to `at`, where it holds zeros so far. */
export function seal(bytes: Uint8Array, at: number): Uint8Array {
  viewOf(bytes).setUint32(at, ~crc32c(bytes), true);
  return bytes;
}

const rotate = (value: number, by: number): number => (value << by) | (value >>> (32 - by));

/** The hash of names in directories and of attributes (xfs_da_hashname). */
export function hashName(name: Uint8Array): number {
  let hash = 0;
  let at = 0;
  const byte = (index: number): number => name[index] as number;
  for (; name.length - at >= 4; at += 4)
    hash = (byte(at) << 21) ^ (byte(at + 1) << 14) ^ (byte(at + 2) << 7) ^ byte(at + 3) ^ rotate(hash, 28);
  const rest = name.length - at;
  if (rest === 3) hash = (byte(at) << 14) ^ (byte(at + 1) << 7) ^ byte(at + 2) ^ rotate(hash, 21);
  else if (rest === 2) hash = (byte(at) << 7) ^ byte(at + 1) ^ rotate(hash, 14);
  else if (rest === 1) hash = byte(at) ^ rotate(hash, 7);
  return hash >>> 0;
}

/** How many of `count` items each page gets, when pages hold at most `most`: about the same. */
export function spread(count: number, most: number): number[] {
  const pages = Math.max(1, Math.ceil(count / most));
  return Array.from(
    { length: pages },
    (_, page) => Math.floor((count * (page + 1)) / pages) - Math.floor((count * page) / pages),
  );
}
