/**
 * The four sectors that each allocation group begins with: a copy of the superblock, free space (AGF),
 * inodes (AGI), and the blocks kept for the free space trees (AGFL); and the record of a clean log.
 * @module
 */
import { blockSize, inodeSize, inodesPerBlock, chunkBlocks, seal, setU64, viewOf } from "./format.ts";
import { diskBlock, type Geometry } from "./geometry.ts";

/**
 * Read-only compatible: free inode tree, shared blocks, counts of inode trees. Incompatible: file types in
 * directories, chunks of inodes with gaps, times of 64 bits. All are in Linux 5.10 and GRUB 2.06; younger
 * ones (counters of extents with 64 bits, parent pointers) are not, and owners of blocks (rmapbt) cost
 * space and time.
 */
const features = { readOnlyCompatible: 1 | 4 | 8, incompatible: 1 | 2 | 8 } as const;
/** Version 5 with link counts, aligned inodes, log version 2, extent flags, directories version 2, more bits. */
const version = 0xb4a5;
const attributesBit = 0x10;
const sectorBit = 0x800;
/** Lazy counters, attributes version 2, project ids of 32 bits, checksums. */
const features2 = 0x18a;

export interface SuperblockFields {
  readonly geometry: Geometry;
  readonly uuid: Uint8Array;
  readonly label: string;
  readonly log: number;
  readonly rootInode: number;
  readonly inodes: number;
  readonly freeInodes: number;
  readonly freeBlocks: number;
  /** Some inode has attributes. */
  readonly attributes: boolean;
}

export function encodeSuperblock(fields: SuperblockFields): Uint8Array {
  const { geometry, uuid, rootInode } = fields;
  const { sectorSize, groupLog, blocks } = geometry;
  const bytes = new Uint8Array(sectorSize);
  const view = viewOf(bytes);
  const largeSectors = sectorSize > 512;
  bytes.set(Buffer.from("XFSB"), 0);
  view.setUint32(4, blockSize);
  setU64(view, 8, blocks);
  bytes.set(uuid, 32);
  setU64(view, 48, diskBlock(geometry, fields.log));
  setU64(view, 56, rootInode);
  // Bitmap and summary of real-time extents.
  setU64(view, 64, rootInode + 1);
  setU64(view, 72, rootInode + 2);
  view.setUint32(80, 1);
  view.setUint32(84, geometry.groupBlocks);
  view.setUint32(88, geometry.groups);
  view.setUint32(96, geometry.logBlocks);
  view.setUint16(100, version | (fields.attributes ? attributesBit : 0) | (largeSectors ? sectorBit : 0));
  view.setUint16(102, sectorSize);
  view.setUint16(104, inodeSize);
  view.setUint16(106, inodesPerBlock);
  bytes.set(Buffer.from(fields.label), 108);
  view.setUint8(120, Math.log2(blockSize));
  view.setUint8(121, Math.log2(sectorSize));
  view.setUint8(122, Math.log2(inodeSize));
  view.setUint8(123, Math.log2(inodesPerBlock));
  view.setUint8(124, groupLog);
  view.setUint8(127, largestInodeShare(blocks));
  setU64(view, 128, fields.inodes);
  setU64(view, 136, fields.freeInodes);
  setU64(view, 144, fields.freeBlocks);
  // Chunks of inodes begin at multiples of their size, parts of chunks at multiples of half of it.
  view.setUint32(180, chunkBlocks);
  if (largeSectors) {
    view.setUint8(193, Math.log2(sectorSize));
    view.setUint16(194, sectorSize);
  }
  view.setUint32(196, logUnit(geometry));
  view.setUint32(200, features2);
  view.setUint32(204, features2);
  view.setUint32(212, features.readOnlyCompatible);
  view.setUint32(216, features.incompatible);
  view.setUint32(228, chunkBlocks / 2);
  return seal(bytes, 224);
}

/** Percent of the space that inodes may take, by mkfs.xfs's table. */
function largestInodeShare(blocks: number): number {
  const tebibytes = (blocks * blockSize) / 2 ** 40;
  return tebibytes < 1 ? 25 : tebibytes < 50 ? 5 : 1;
}

/** Bytes that log records are padded to: 1 stands for none. */
function logUnit({ sectorSize }: Geometry): number {
  return sectorSize === 512 ? 1 : blockSize;
}

export interface GroupHeader {
  readonly group: number;
  readonly length: number;
  /** Blocks of the group. */
  readonly roots: {
    readonly byPlace: number;
    readonly bySize: number;
    readonly inodes: number;
    readonly freeInodes: number;
    readonly shared: number;
  };
  readonly freeList: readonly number[];
  readonly freeBlocks: number;
  readonly longestFree: number;
  readonly inodes: number;
  readonly freeInodes: number;
  /** Number within the group of the last chunk's first inode; undefined: it has none. */
  readonly newestChunk: number | undefined;
  /** Height and blocks of the inode tree. */
  readonly inodeTree: { readonly height: number; readonly blocks: number };
}

const none = 0xffff_ffff;

/** AGF, AGI and AGFL, in their order. */
export function encodeGroupHeaders(header: GroupHeader, sectorSize: number, uuid: Uint8Array): Uint8Array[] {
  return [
    encodeFreeSpace(header, sectorSize, uuid),
    encodeInodes(header, sectorSize, uuid),
    encodeFreeList(header, sectorSize, uuid),
  ];
}

function setAll(view: DataView, at: number, values: readonly number[]): void {
  for (const [index, value] of values.entries()) view.setUint32(at + index * 4, value);
}

function encodeFreeSpace(header: GroupHeader, sectorSize: number, uuid: Uint8Array): Uint8Array {
  const { group, length, roots, freeList } = header;
  const bytes = new Uint8Array(sectorSize);
  const view = viewOf(bytes);
  bytes.set(Buffer.from("XAGF"), 0);
  setAll(view, 4, [1, group, length, roots.byPlace, roots.bySize]);
  setAll(view, 28, [1, 1]);
  // The list begins with its second entry, as mkfs.xfs leaves it.
  setAll(view, 40, [1, freeList.length, freeList.length, header.freeBlocks, header.longestFree]);
  bytes.set(uuid, 64);
  setAll(view, 84, [1, roots.shared, 1]);
  return seal(bytes, 216);
}

function encodeInodes(header: GroupHeader, sectorSize: number, uuid: Uint8Array): Uint8Array {
  const { group, length, roots, inodeTree } = header;
  const bytes = new Uint8Array(sectorSize);
  const view = viewOf(bytes);
  bytes.set(Buffer.from("XAGI"), 0);
  setAll(view, 4, [1, group, length, header.inodes, roots.inodes, inodeTree.height, header.freeInodes]);
  setAll(view, 32, [header.newestChunk ?? none, none]);
  // Lists of inodes that are deleted and still open: none.
  setAll(
    view,
    40,
    Array.from({ length: 64 }, () => none),
  );
  bytes.set(uuid, 296);
  setAll(view, 328, [roots.freeInodes, 1, inodeTree.blocks, 1]);
  return seal(bytes, 312);
}

function encodeFreeList({ group, freeList }: GroupHeader, sectorSize: number, uuid: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(sectorSize).fill(0xff, 36);
  const view = viewOf(bytes);
  bytes.set(Buffer.from("XAFL"), 0);
  view.setUint32(4, group);
  bytes.set(uuid, 8);
  setAll(view, 40, freeList);
  return seal(bytes, 32);
}

/** The beginning of a log that was closed properly: one record, which says that the file system was unmounted. */
export function encodeLog(geometry: Geometry, uuid: Uint8Array): Uint8Array {
  const sector = 512;
  const size = Math.max(2 * sector, logUnit(geometry));
  const bytes = new Uint8Array(size);
  const view = viewOf(bytes);
  const cycle = 1;
  view.setUint32(0, 0xfeed_babe);
  view.setUint32(4, cycle);
  view.setUint32(8, 2);
  view.setUint32(12, size - sector);
  // This record's place and that of the oldest one needed: cycle and sector.
  setAll(view, 16, [cycle, 0, cycle, 0]);
  view.setUint32(36, none);
  view.setUint32(40, 1);
  // The operation's transaction, whose place the cycle takes below, as in every sector.
  view.setUint32(44, 0xb0c0_d0d0);
  // Little-endian Linux wrote it.
  view.setUint32(300, 1);
  bytes.set(uuid, 304);
  // Size of the buffers in memory.
  view.setUint32(320, 32_768);
  for (let at = sector; at < size; at += sector) view.setUint32(at, cycle);
  // Eight bytes of the log's own (0xaa), flagged as unmounting (0x20), of the type "Un".
  setAll(view, sector + 4, [8, 0xaa20_0000, 0x6e55_0000]);
  return bytes;
}
