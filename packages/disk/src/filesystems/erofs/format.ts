/**
 * The pieces of EROFS's disk format (kernel: Documentation/filesystems/erofs.rst): superblock, extended inodes,
 * directory blocks, inline extended attributes. What compressed files have besides is in compress.ts.
 * @module
 */
import { ConfigError, parseUuid } from "@imgtool/core";
import { crc32c } from "../../crc32.ts";
import { fileTypeBits, type ExtendedAttribute, type NodeKind, type TreeNode } from "../../tree/node.ts";

export const blockSize = 4096;
export const superblockOffset = 1024;
/** Bytes of an extended inode; positions of inodes are multiples of the slot. */
export const inodeSize = 64;
export const inodeSlot = 32;

export interface ErofsSuperblock {
  readonly rootNid: number;
  readonly inodes: number;
  readonly created: number;
  readonly blocks: number;
  readonly uuid: string;
  readonly label: Uint8Array;
  /** What files are compressed with, if any are. */
  readonly algorithm?: { readonly number: number; readonly configuration: Uint8Array } | undefined;
}

/** What follows byte 1024 of the first block, to its end. */
export function encodeSuperblock(fields: ErofsSuperblock): Uint8Array {
  const bytes = new Uint8Array(blockSize - superblockOffset);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0xe0f5e1e2, true);
  // Compatible features: the superblock's checksum, modification times.
  view.setUint32(8, 0x3, true);
  view.setUint8(12, 12);
  view.setUint16(14, fields.rootNid, true);
  view.setBigUint64(16, BigInt(fields.inodes), true);
  view.setBigInt64(24, BigInt(fields.created), true);
  view.setUint32(36, fields.blocks, true);
  bytes.set(parseUuid(fields.uuid), 48);
  bytes.set(fields.label, 64);
  const { algorithm } = fields;
  if (algorithm !== undefined) {
    // Features without which nobody can read it: padding in front of compressed pieces, and that they may have
    // more than a block, which goes with a list of algorithms and their configuration.
    view.setUint32(80, 0x3, true);
    view.setUint16(84, 1 << algorithm.number, true);
    view.setUint16(128, algorithm.configuration.length, true);
    bytes.set(algorithm.configuration, 130);
  }
  view.setUint32(4, crc32c(bytes), true);
  return bytes;
}

const layouts = { plain: 0, compressed: 1, inline: 2 } as const;

export interface ErofsInode {
  readonly node: TreeNode;
  readonly number: number;
  readonly size: number;
  readonly links: number;
  /** Where its data is: in blocks, the last of which may follow the inode, or compressed. */
  readonly layout: keyof typeof layouts;
  /** First data block, the count of compressed ones, or the device's number. */
  readonly address: number;
}

/** An inode and its attributes. */
export function encodeInode(inode: ErofsInode): Uint8Array {
  const { node } = inode;
  const xattrs = encodeXattrs(node.xattrs);
  const bytes = new Uint8Array(inodeSize + xattrs.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 1 | (layouts[inode.layout] << 1), true);
  view.setUint16(2, xattrs.length === 0 ? 0 : (xattrs.length - 12) / 4 + 1, true);
  view.setUint16(4, fileTypeBits[node.kind] | node.mode, true);
  view.setBigUint64(8, BigInt(inode.size), true);
  view.setUint32(16, inode.address >>> 0, true);
  view.setUint32(20, inode.number, true);
  view.setUint32(24, node.uid, true);
  view.setUint32(28, node.gid, true);
  view.setBigInt64(32, BigInt(node.seconds), true);
  view.setUint32(40, node.nanoseconds, true);
  view.setUint32(44, inode.links, true);
  bytes.set(xattrs, inodeSize);
  return bytes;
}

const prefixes: readonly (readonly [prefix: string, index: number])[] = [
  ["user.", 1],
  ["system.posix_acl_access", 2],
  ["system.posix_acl_default", 3],
  ["trusted.", 4],
  ["security.", 6],
];

/** Inline attributes: a header of 12 bytes, then entries padded to 4. Empty without attributes. */
export function encodeXattrs(attributes: readonly ExtendedAttribute[]): Uint8Array {
  if (attributes.length === 0) return new Uint8Array(0);
  const parts: Buffer[] = [Buffer.alloc(12)];
  for (const { name, value } of attributes) {
    const found = prefixes.find(([prefix]) => name.startsWith(prefix));
    if (found === undefined || value.length > 0xffff)
      throw new ConfigError(`erofs cannot hold the extended attribute "${name}" of ${value.length} bytes`, {
        code: "xattr-unknown",
      });
    const suffix = Buffer.from(name.slice(found[0].length));
    const entry = Buffer.alloc(Math.ceil((4 + suffix.length + value.length) / 4) * 4);
    entry.writeUInt8(suffix.length, 0);
    entry.writeUInt8(found[1], 1);
    entry.writeUInt16LE(value.length, 2);
    suffix.copy(entry, 4);
    entry.set(value, 4 + suffix.length);
    parts.push(entry);
  }
  return Buffer.concat(parts);
}

const fileTypes: Readonly<Record<NodeKind, number>> = {
  file: 1,
  directory: 2,
  character: 3,
  block: 4,
  fifo: 5,
  socket: 6,
  symlink: 7,
};

export interface ErofsEntry {
  readonly name: Buffer;
  readonly node: TreeNode;
}

/** Splits the entries of a directory, sorted by name, into those of each block. */
export function packDirectory(entries: readonly ErofsEntry[]): ErofsEntry[][] {
  const blocks: ErofsEntry[][] = [];
  let block: ErofsEntry[] = [];
  let used = 0;
  for (const entry of entries) {
    const length = 12 + entry.name.length;
    if (used + length > blockSize) {
      blocks.push(block);
      block = [];
      used = 0;
    }
    block.push(entry);
    used += length;
  }
  blocks.push(block);
  return blocks;
}

/** Bytes of the directory: whole blocks but for the last. */
export function directorySize(blocks: readonly (readonly ErofsEntry[])[]): number {
  const last = blocks.at(-1) ?? [];
  return (blocks.length - 1) * blockSize + last.reduce((sum, { name }) => sum + 12 + name.length, 0);
}

/** A directory block: fixed entries, then names. Whole blocks are padded with NULs. */
export function encodeDirectoryBlock(entries: readonly ErofsEntry[], nid: (node: TreeNode) => number): Uint8Array {
  const bytes = new Uint8Array(blockSize);
  const view = new DataView(bytes.buffer);
  let nameAt = 12 * entries.length;
  for (const [index, { name, node }] of entries.entries()) {
    view.setBigUint64(12 * index, BigInt(nid(node)), true);
    view.setUint16(12 * index + 8, nameAt, true);
    view.setUint8(12 * index + 10, fileTypes[node.kind]);
    bytes.set(name, nameAt);
    nameAt += name.length;
  }
  return bytes;
}
