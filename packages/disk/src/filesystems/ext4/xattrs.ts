/**
 * Extended attributes: in the inode behind its fixed fields where they fit, else in one block.
 * @module
 */
import { ConfigError } from "@imgtool/core";
import { crc32c } from "../../crc32.ts";
import type { ExtendedAttribute } from "../../tree/node.ts";
import { blockSize, extraInodeSize, inodeSize } from "./format.ts";

const magic = 0xea020000;
const prefixes: readonly (readonly [prefix: string, index: number])[] = [
  ["user.", 1],
  ["system.posix_acl_access", 2],
  ["system.posix_acl_default", 3],
  ["trusted.", 4],
  ["security.", 6],
  ["system.", 7],
];
/** Where attributes begin in an inode. */
const inlineStart: number = 128 + extraInodeSize;
const inlineRoom = inodeSize - inlineStart - 4;
const blockHeader = 32;

interface Entry {
  readonly index: number;
  readonly name: Buffer;
  readonly value: Uint8Array;
}

const round4 = (size: number): number => Math.ceil(size / 4) * 4;

function entries(attributes: readonly ExtendedAttribute[]): Entry[] {
  const all = attributes.map(({ name, value }): Entry => {
    const found = prefixes.find(([prefix]) => name.startsWith(prefix));
    if (found === undefined)
      throw new ConfigError(`ext4 cannot hold the extended attribute "${name}"`, { code: "xattr-unknown" });
    const [prefix, index] = found;
    return {
      index,
      name: Buffer.from(name.slice(prefix.length)),
      value: prefix.includes("acl") ? packAcl(value) : value,
    };
  });
  // The order the kernel searches a block in.
  return all.sort((a, b) => a.index - b.index || a.name.length - b.name.length || Buffer.compare(a.name, b.name));
}

/** From the form of the system call (version 2, an id in each entry) to that on disk (version 1, ids only where they mean something). */
function packAcl(value: Uint8Array): Uint8Array {
  const from = new DataView(value.buffer, value.byteOffset, value.byteLength);
  if (value.length < 4 || from.getUint32(0, true) !== 2)
    throw new ConfigError("not a POSIX ACL", { code: "acl-invalid" });
  const bytes = new Uint8Array(value.length);
  const to = new DataView(bytes.buffer);
  to.setUint32(0, 1, true);
  let used = 4;
  for (let at = 4; at + 8 <= value.length; at += 8) {
    const tag = from.getUint16(at, true);
    to.setUint16(used, tag, true);
    to.setUint16(used + 2, from.getUint16(at + 2, true), true);
    used += 4;
    // ACL_USER and ACL_GROUP name somebody.
    if (tag === 2 || tag === 8) {
      to.setUint32(used, from.getUint32(at + 4, true), true);
      used += 4;
    }
  }
  return bytes.subarray(0, used);
}

function size(list: readonly Entry[]): number {
  return list.reduce((sum, { name, value }) => sum + 16 + round4(name.length) + round4(value.length), 4);
}

/** Where a node's attributes go. */
export function placeXattrs(attributes: readonly ExtendedAttribute[], path: string): "none" | "inode" | "block" {
  if (attributes.length === 0) return "none";
  const needed = size(entries(attributes));
  if (needed <= inlineRoom) return "inode";
  if (needed <= blockSize - blockHeader) return "block";
  throw new ConfigError(
    `/${path}: its extended attributes need ${needed} bytes, ext4 has room for ${blockSize - blockHeader}`,
    {
      code: "xattr-too-large",
      data: { path, needed },
    },
  );
}

function hashEntry({ name, value }: Entry): number {
  let hash = 0;
  for (const byte of name) hash = ((hash << 5) ^ (hash >>> 27) ^ byte) >>> 0;
  const padded = new DataView(new ArrayBuffer(round4(value.length)));
  for (const [at, byte] of value.entries()) padded.setUint8(at, byte);
  for (let at = 0; at < padded.byteLength; at += 4)
    hash = ((hash << 16) ^ (hash >>> 16) ^ padded.getUint32(at, true)) >>> 0;
  return hash;
}

/** Writes entries upwards from `start`, values downwards from the end; value offsets count from `base`. */
function write(bytes: Uint8Array, list: readonly Entry[], start: number, base: number, hashed: boolean): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = start;
  let end = bytes.length;
  for (const entry of list) {
    end -= round4(entry.value.length);
    bytes.set(entry.value, end);
    view.setUint8(at, entry.name.length);
    view.setUint8(at + 1, entry.index);
    view.setUint16(at + 2, entry.value.length === 0 ? 0 : end - base, true);
    view.setUint32(at + 8, entry.value.length, true);
    if (hashed) view.setUint32(at + 12, hashEntry(entry), true);
    bytes.set(entry.name, at + 16);
    at += 16 + round4(entry.name.length);
  }
}

/** Puts attributes into an inode's 256 bytes. */
export function writeInlineXattrs(inode: Uint8Array, attributes: readonly ExtendedAttribute[]): void {
  new DataView(inode.buffer, inode.byteOffset, inode.byteLength).setUint32(inlineStart, magic, true);
  write(inode, entries(attributes), inlineStart + 4, inlineStart + 4, false);
}

/** The attribute block that goes to `block`; `seed` is the file system's checksum seed. */
export function encodeXattrBlock(attributes: readonly ExtendedAttribute[], block: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(blockSize);
  const view = new DataView(bytes.buffer);
  const list = entries(attributes);
  view.setUint32(0, magic, true);
  view.setUint32(4, 1, true);
  view.setUint32(8, 1, true);
  write(bytes, list, blockHeader, 0, true);
  let hash = 0;
  for (const entry of list) hash = ((hash << 16) ^ (hash >>> 16) ^ hashEntry(entry)) >>> 0;
  view.setUint32(12, hash, true);
  const number = new Uint8Array(8);
  new DataView(number.buffer).setBigUint64(0, BigInt(block), true);
  view.setUint32(16, crc32c(bytes, crc32c(number, seed)), true);
  return bytes;
}
