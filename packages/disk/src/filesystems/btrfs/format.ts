/**
 * Structures of btrfs on disk (btrfs.readthedocs.io, "On-disk Format"): keys, nodes, items, the
 * superblock. All numbers are little-endian; object ids below zero count down from 2^64.
 * @module
 */
import { parseUuid } from "@imgtool/core";
import { crc32c } from "../../crc32.ts";

export const sectorSize = 4096;
export const nodeSize = 16_384;
const nodeHeader = 101;
const itemHeader = 25;
const pointerSize = 33;
export const leafRoom: number = nodeSize - nodeHeader;
export const pointersPerNode: number = Math.floor(leafRoom / pointerSize);
/** The largest content of an item. */
export const largestItem: number = leafRoom - itemHeader;
/** The generation of everything in a new file system. */
const generation = 1n;

export const objects = {
  rootTree: 1,
  extentTree: 2,
  chunkTree: 3,
  devTree: 4,
  fsTree: 5,
  rootDirectory: 6,
  csumTree: 7,
  uuidTree: 9,
  freeSpaceTree: 10,
  firstFree: 256,
  dataRelocation: -9,
  csums: -10,
} as const;

export const types = {
  inodeItem: 1,
  inodeRef: 12,
  inodeExtref: 13,
  xattr: 24,
  dirItem: 84,
  dirIndex: 96,
  extentData: 108,
  csum: 128,
  rootItem: 132,
  rootBackref: 144,
  rootRef: 156,
  extent: 168,
  metadata: 169,
  blockGroup: 192,
  freeSpaceInfo: 198,
  freeSpaceExtent: 199,
  devExtent: 204,
  device: 216,
  chunk: 228,
  uuidSubvolume: 251,
} as const;

export const chunkTypes = { data: 1n, system: 2n, metadata: 4n } as const;

type Id = number | bigint;

/** A place in a tree and what stands there. */
export interface Item {
  readonly objectid: Id;
  readonly type: number;
  readonly offset: Id;
  /** Bytes of the content. */
  readonly size: number;
  /** Asked for when the item is written; exactly `size` bytes. */
  readonly content: () => Uint8Array;
}

export const itemSpace = (item: Item): number => itemHeader + item.size;

const wide = (id: Id): bigint => BigInt.asUintN(64, BigInt(id));

function compareIds(a: Id, b: Id): number {
  if (typeof a === "number" && typeof b === "number" && a >= 0 && b >= 0) return a - b;
  const [left, right] = [wide(a), wide(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}

/** The order of items in a tree. */
export function compareItems(a: Item, b: Item): number {
  return compareIds(a.objectid, b.objectid) || a.type - b.type || compareIds(a.offset, b.offset);
}

/** Fills a buffer with fields one after the other. */
export class Fields {
  readonly bytes: Buffer;
  #at = 0;

  constructor(size: number) {
    this.bytes = Buffer.alloc(size);
  }

  u8(value: number): this {
    this.#at = this.bytes.writeUInt8(value, this.#at);
    return this;
  }

  u16(value: number): this {
    this.#at = this.bytes.writeUInt16LE(value, this.#at);
    return this;
  }

  u32(value: number): this {
    this.#at = this.bytes.writeUInt32LE(value, this.#at);
    return this;
  }

  u64(...values: Id[]): this {
    for (const value of values) this.#at = this.bytes.writeBigUInt64LE(wide(value), this.#at);
    return this;
  }

  raw(bytes: Uint8Array): this {
    this.bytes.set(bytes, this.#at);
    this.#at += bytes.length;
    return this;
  }

  key(objectid: Id, type: number, offset: Id): this {
    return this.u64(objectid).u8(type).u64(offset);
  }

  time(seconds: number, nanoseconds = 0): this {
    return this.u64(seconds).u32(nanoseconds);
  }

  skip(count: number): this {
    this.#at += count;
    return this;
  }
}

/** Identifiers that every node repeats. */
export interface Identity {
  readonly uuid: string;
  readonly chunkTreeUuid: string;
  readonly deviceUuid: string;
}

export interface NodePlace {
  readonly address: number;
  readonly owner: number;
  readonly level: number;
  readonly count: number;
}

function seal(fields: Fields): Buffer {
  fields.bytes.writeUInt32LE(~crc32c(fields.bytes.subarray(32)) >>> 0, 0);
  return fields.bytes;
}

function header(identity: Identity, place: NodePlace): Fields {
  const written = 1n | (1n << 56n);
  return new Fields(nodeSize)
    .skip(32)
    .raw(parseUuid(identity.uuid))
    .u64(place.address, written)
    .raw(parseUuid(identity.chunkTreeUuid))
    .u64(generation, place.owner)
    .u32(place.count)
    .u8(place.level);
}

/** A leaf: headers from the front, contents from the back. */
export function encodeLeaf(identity: Identity, place: NodePlace, items: readonly Item[]): Buffer {
  const fields = header(identity, place);
  let end = leafRoom;
  for (const item of items) {
    end -= item.size;
    fields.key(item.objectid, item.type, item.offset).u32(end).u32(item.size);
    fields.bytes.set(item.content(), nodeHeader + end);
  }
  return seal(fields);
}

/** An inner node: the first key of each child, and where it is. */
export function encodeNode(
  identity: Identity,
  place: NodePlace,
  children: readonly { readonly first: Item; readonly address: number }[],
): Buffer {
  const fields = header(identity, place);
  for (const { first, address } of children)
    fields.key(first.objectid, first.type, first.offset).u64(address, generation);
  return seal(fields);
}

export interface InodeFields {
  readonly size: number;
  readonly bytes: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  readonly device?: { readonly major: number; readonly minor: number } | undefined;
  readonly flags?: number;
  readonly seconds: number;
  readonly nanoseconds?: number;
}

export const inodeItemSize = 160;

export function encodeInode(inode: InodeFields): Buffer {
  const { device, seconds, nanoseconds = 0 } = inode;
  const fields = new Fields(inodeItemSize)
    .u64(generation, generation, inode.size, inode.bytes, 0)
    .u32(inode.links)
    .u32(inode.uid)
    .u32(inode.gid)
    .u32(inode.mode)
    // The kernel's own form of a device number.
    .u64(device === undefined ? 0 : BigInt(device.major) * 2n ** 20n + BigInt(device.minor))
    .u64(inode.flags ?? 0, 0)
    .skip(32);
  for (let time = 0; time < 4; time++) fields.time(seconds, nanoseconds);
  return fields.bytes;
}

export interface RootFields {
  readonly address: number;
  readonly level: number;
  readonly nodes: number;
  /** The tree has a directory as its root. */
  readonly directory: boolean;
  /** Of a tree of the user's files. */
  readonly files?: { readonly uuid: string; readonly readOnly: boolean; readonly seconds: number } | undefined;
}

export const rootItemSize = 439;

export function encodeRoot({ address, level, nodes, directory, files }: RootFields): Buffer {
  // What mkfs.btrfs has there; the flag says that the fields are meant.
  const inode = { size: 3, bytes: nodeSize, links: 1, uid: 0, gid: 0, mode: 0o40755, flags: 2 ** 31, seconds: 0 };
  const fields = new Fields(rootItemSize)
    .raw(encodeInode(inode))
    .u64(generation, directory ? objects.firstFree : 0, address, 0, nodes * nodeSize, 0)
    .u64(files?.readOnly === true ? 1 : 0)
    .u32(1)
    .skip(17 + 1)
    .u8(level)
    .u64(generation);
  if (files === undefined) return fields.bytes;
  return fields
    .raw(parseUuid(files.uuid))
    .skip(32)
    .u64(generation, generation, 0, 0)
    .time(files.seconds)
    .time(files.seconds).bytes;
}

export interface Chunk {
  /** Both in the file system's addresses and on the device, which are the same here. */
  readonly start: number;
  readonly length: number;
  readonly type: bigint;
}

export const stripeLength = 65_536;
export const chunkItemSize = 80;

export function encodeChunk({ start, length, type }: Chunk, identity: Identity): Buffer {
  return new Fields(chunkItemSize)
    .u64(length, objects.extentTree, stripeLength, type)
    .u32(stripeLength)
    .u32(stripeLength)
    .u32(sectorSize)
    .u16(1)
    .u16(1)
    .u64(1, start)
    .raw(parseUuid(identity.deviceUuid)).bytes;
}

export const deviceItemSize = 98;

export function encodeDevice(size: number, chunks: readonly Chunk[], identity: Identity): Buffer {
  return new Fields(deviceItemSize)
    .u64(1, size, sumOf(chunks.map(({ length }) => length)))
    .u32(sectorSize)
    .u32(sectorSize)
    .u32(sectorSize)
    .skip(8 * 3 + 4 + 2)
    .raw(parseUuid(identity.deviceUuid))
    .raw(parseUuid(identity.uuid)).bytes;
}

export function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}

export interface SuperblockFields {
  readonly identity: Identity;
  readonly address: number;
  readonly size: number;
  readonly used: number;
  readonly root: { readonly address: number; readonly level: number };
  readonly chunkRoot: { readonly address: number; readonly level: number };
  readonly chunks: readonly Chunk[];
  readonly label: string;
  readonly defaultSubvolume: boolean;
  readonly zstd: boolean;
}

// mixed backref, big metadata, extended inode refs, skinny metadata, no holes
const incompatible = 0x1n | 0x20n | 0x40n | 0x100n | 0x200n;

export function encodeSuperblock(superblock: SuperblockFields): Buffer {
  const { identity, root, chunkRoot, chunks } = superblock;
  const system = chunks.filter(({ type }) => type === chunkTypes.system);
  const fields = new Fields(4096)
    .skip(32)
    .raw(parseUuid(identity.uuid))
    .u64(superblock.address, 1)
    .raw(Buffer.from("_BHRfS_M"))
    .u64(generation, root.address, chunkRoot.address, 0, 0, superblock.size, superblock.used)
    .u64(objects.rootDirectory, 1)
    .u32(sectorSize)
    .u32(nodeSize)
    .u32(nodeSize)
    .u32(sectorSize)
    .u32(system.length * (17 + chunkItemSize))
    // The free space tree is there, and to be trusted.
    .u64(generation, 0, 3, incompatible | (superblock.defaultSubvolume ? 2n : 0n) | (superblock.zstd ? 16n : 0n))
    .u16(0)
    .u8(root.level)
    .u8(chunkRoot.level)
    .u8(0)
    .raw(encodeDevice(superblock.size, chunks, identity))
    .raw(Buffer.from(superblock.label))
    .skip(256 - Buffer.byteLength(superblock.label))
    .u64(0, generation)
    .skip(811 - 571);
  for (const chunk of system) fields.key(objects.firstFree, types.chunk, chunk.start).raw(encodeChunk(chunk, identity));
  return seal(fields);
}
