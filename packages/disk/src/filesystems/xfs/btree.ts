/**
 * B+trees: those of allocation groups, whose pointers have 32 bits ("short"), and the extents of files,
 * whose pointers have 64 ("long") and whose root is in the inode. Records are placed by the caller,
 * pages are filled evenly, so that none is less than half full.
 * @module
 */
import { blockSize, seal, setAddress, setU64, spread, viewOf, type Extent } from "./format.ts";
import { diskBlock, type Geometry } from "./geometry.ts";

const shortHeader = 56;
const longHeader = 72;
const longRecord = 16;
const inodeRecord = 16;

/** Chunks of inodes in a leaf. */
export const inodeRecords: number = Math.floor((blockSize - shortHeader) / inodeRecord);
/** Children of a node of the inode tree: keys of four bytes. */
export const pointersPerShortNode: number = Math.floor((blockSize - shortHeader) / 8);
/** Extents in a leaf, and children of a node: both take 16 bytes. */
const perLongBlock: number = Math.floor((blockSize - longHeader) / longRecord);

/**
 * How many items each page of each level holds, from the leaves up.
 * @param top pages that the uppermost level may have: 1 when that is the root, more when the root is elsewhere
 */
export function levelsOf(count: number, inLeaf: number, inNode: number, top: number): number[][] {
  let last = spread(count, inLeaf);
  const levels = [last];
  while (last.length > top) {
    last = spread(last.length, inNode);
    levels.push(last);
  }
  return levels;
}

export interface PlacedBlock {
  readonly block: number;
  readonly bytes: Uint8Array;
}

/** What is different between trees. */
interface Form {
  readonly header: number;
  readonly keySize: number;
  readonly nodeLimit: number;
  /** Writes a pointer to a block, or to none. */
  pointer(view: DataView, at: number, block: number | undefined): void;
  readonly pointerSize: number;
  /** The checksum's place. */
  readonly seal: number;
  head(view: DataView, level: number, block: number): void;
}

/** Encodes all pages; `blocks` has a place for each, from the leaves up. Returns the uppermost pages' first keys too. */
function encodePages(
  levels: readonly (readonly number[])[],
  records: readonly Uint8Array[],
  keyOf: (record: Uint8Array) => Uint8Array,
  blocks: readonly number[],
  form: Form,
): { readonly pages: PlacedBlock[]; readonly top: { readonly key: Uint8Array; readonly block: number }[] } {
  const pages: PlacedBlock[] = [];
  let below: { key: Uint8Array; block: number }[] = [];
  let used = 0;
  for (const [level, sizes] of levels.entries()) {
    const here = blocks.slice(used, used + sizes.length);
    used += sizes.length;
    const next: { key: Uint8Array; block: number }[] = [];
    let from = 0;
    for (const [index, size] of sizes.entries()) {
      const bytes = new Uint8Array(blockSize);
      const view = viewOf(bytes);
      const block = here[index] ?? 0;
      form.head(view, level, block);
      view.setUint16(4, level);
      view.setUint16(6, size);
      form.pointer(view, 8, here[index - 1]);
      form.pointer(view, 8 + form.pointerSize, here[index + 1]);
      let first = new Uint8Array(form.keySize);
      for (let item = 0; item < size; item++) {
        const record = records[from + item];
        const child = below[from + item];
        if (level === 0 && record !== undefined) {
          bytes.set(record, form.header + item * record.length);
          if (item === 0) first = Uint8Array.from(keyOf(record));
        } else if (child !== undefined) {
          bytes.set(child.key, form.header + item * form.keySize);
          form.pointer(view, form.header + form.nodeLimit * form.keySize + item * form.pointerSize, child.block);
          if (item === 0) first = Uint8Array.from(child.key);
        }
      }
      from += size;
      pages.push({ block, bytes: seal(bytes, form.seal) });
      next.push({ key: first, block });
    }
    below = next;
  }
  return { pages, top: below };
}

export interface ShortTree {
  /** Four letters. */
  readonly magic: string;
  readonly records: readonly Uint8Array[];
  /** Places of the pages below the root. */
  readonly blocks: readonly number[];
  readonly root: number;
  readonly group: number;
}

/** A tree of an allocation group; returns its blocks and its height. */
export function encodeShortTree(
  { magic, records, blocks, root, group }: ShortTree,
  geometry: Geometry,
  uuid: Uint8Array,
): { readonly pages: readonly PlacedBlock[]; readonly height: number } {
  const recordSize = records[0]?.length ?? inodeRecord;
  const levels = levelsOf(records.length, Math.floor((blockSize - shortHeader) / recordSize), pointersPerShortNode, 1);
  const { pages } = encodePages(levels, records, (record) => record.subarray(0, 4), [...blocks, root], {
    header: shortHeader,
    keySize: 4,
    nodeLimit: pointersPerShortNode,
    pointerSize: 4,
    seal: 52,
    pointer: (view, at, block) => view.setUint32(at, block === undefined ? 0xffff_ffff : block % geometry.groupBlocks),
    head(view, _level, block) {
      for (const [index, letter] of [...Buffer.from(magic)].entries()) view.setUint8(index, letter);
      setAddress(view, 16, block);
      new Uint8Array(view.buffer).set(uuid, 32);
      view.setUint32(48, group);
    },
  });
  return { pages, height: levels.length };
}

function encodeExtent({ logical, start, count }: Extent, geometry: Geometry): Uint8Array {
  const bytes = new Uint8Array(longRecord);
  const view = viewOf(bytes);
  const block = BigInt(diskBlock(geometry, start));
  view.setBigUint64(0, (BigInt(logical) << 9n) | (block >> 43n));
  view.setBigUint64(8, BigInt.asUintN(64, block << 21n) | BigInt(count));
  return bytes;
}

/** The key of an extent: where in the file it begins. */
function extentKey(record: Uint8Array): Uint8Array {
  const key = new Uint8Array(8);
  viewOf(key).setBigUint64(0, viewOf(record).getBigUint64(0) >> 9n);
  return key;
}

/** Pointers that a tree's root has room for in a fork of so many bytes. */
const rootLimit = (room: number): number => Math.floor((room - 4) / longRecord);

/** Blocks that the extents of a fork need when the fork has so many bytes: none when they fit. */
export function extentTreeBlocks(extents: number, room: number): number {
  if (extents * longRecord <= room) return 0;
  return levelsOf(extents, perLongBlock, perLongBlock, rootLimit(room)).reduce((sum, pages) => sum + pages.length, 0);
}

/** A fork with extents: its bytes in the inode, and the blocks of its tree, if it is one. */
export function encodeExtents(
  extents: readonly Extent[],
  blocks: readonly number[],
  room: number,
  owner: number,
  geometry: Geometry,
  uuid: Uint8Array,
): { readonly root: Uint8Array; readonly pages: readonly PlacedBlock[] } {
  const records = extents.map((extent) => encodeExtent(extent, geometry));
  if (blocks.length === 0) return { root: Buffer.concat(records), pages: [] };
  const limit = rootLimit(room);
  const levels = levelsOf(records.length, perLongBlock, perLongBlock, limit);
  const { pages, top } = encodePages(levels, records, extentKey, blocks, {
    header: longHeader,
    keySize: 8,
    nodeLimit: perLongBlock,
    pointerSize: 8,
    seal: 64,
    pointer: (view, at, block) =>
      view.setBigUint64(at, block === undefined ? 2n ** 64n - 1n : BigInt(diskBlock(geometry, block))),
    head(view, _level, block) {
      view.setUint32(0, 0x424d_4133);
      setAddress(view, 24, block);
      new Uint8Array(view.buffer).set(uuid, 40);
      setU64(view, 56, owner);
    },
  });
  const root = new Uint8Array(room);
  const view = viewOf(root);
  view.setUint16(0, levels.length);
  view.setUint16(2, top.length);
  for (const [index, { key, block }] of top.entries()) {
    root.set(key, 4 + index * 8);
    setU64(view, 4 + limit * 8 + index * 8, diskBlock(geometry, block));
  }
  return { root, pages };
}
