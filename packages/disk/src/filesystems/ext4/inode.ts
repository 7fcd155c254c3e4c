/**
 * The 256 bytes of an inode.
 * @module
 */
import { crc32c } from "../../crc32.ts";
import type { ExtendedAttribute } from "../../tree/node.ts";
import { blockSize, extraInodeSize, inodeSize } from "./format.ts";
import { writeInlineXattrs } from "./xattrs.ts";

export interface InodeFields {
  readonly number: number;
  /** Type and permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly links: number;
  /** Blocks it takes: data, extent leaves, attributes. */
  readonly blocks: number;
  readonly flags: number;
  readonly seconds: number;
  readonly nanoseconds: number;
  /** i_block: extents, a short link's target or device numbers; at most 60 bytes. */
  readonly content: Uint8Array;
  /** Attributes within the inode. */
  readonly xattrs: readonly ExtendedAttribute[];
  /** Block of further attributes, or 0. */
  readonly xattrBlock: number;
}

/** The seed of checksums in blocks that belong to an inode (generation 0). */
export function inodeChecksumSeed(seed: number, inode: number): number {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setUint32(0, inode, true);
  return crc32c(bytes, seed);
}

export function encodeInode(fields: InodeFields, seed: number): Uint8Array {
  const bytes = new Uint8Array(inodeSize);
  const view = new DataView(bytes.buffer);
  const low = (at: number, value: number): void => view.setUint16(at, value & 0xffff, true);
  low(0x00, fields.mode);
  low(0x02, fields.uid);
  view.setUint32(0x04, fields.size >>> 0, true);
  low(0x18, fields.gid);
  // Links past the format's limit are counted as 1 (dir_nlink).
  low(0x1a, fields.links > 65_000 ? 1 : fields.links);
  const sectors = fields.blocks * (blockSize / 512);
  view.setUint32(0x1c, sectors >>> 0, true);
  view.setUint32(0x20, fields.flags, true);
  bytes.set(fields.content, 0x28);
  view.setUint32(0x68, fields.xattrBlock >>> 0, true);
  view.setUint32(0x6c, Math.floor(fields.size / 2 ** 32), true);
  view.setUint16(0x74, Math.floor(sectors / 2 ** 32), true);
  view.setUint16(0x76, Math.floor(fields.xattrBlock / 2 ** 32), true);
  low(0x78, fields.uid >>> 16);
  low(0x7a, fields.gid >>> 16);
  low(0x80, extraInodeSize);
  // 34 bits of seconds: the low 32 signed, two more beside the nanoseconds.
  const epoch = Math.floor((fields.seconds + 2 ** 31) / 2 ** 32) & 3;
  const extra = ((fields.nanoseconds << 2) | epoch) >>> 0;
  for (const [at, extraAt] of [
    [0x08, 0x8c],
    [0x0c, 0x84],
    [0x10, 0x88],
    [0x90, 0x94],
  ] as const) {
    view.setInt32(at, fields.seconds | 0, true);
    view.setUint32(extraAt, extra, true);
  }
  if (fields.xattrs.length > 0) writeInlineXattrs(bytes, fields.xattrs);
  const checksum = crc32c(bytes, inodeChecksumSeed(seed, fields.number));
  low(0x7c, checksum);
  low(0x82, checksum >>> 16);
  return bytes;
}
