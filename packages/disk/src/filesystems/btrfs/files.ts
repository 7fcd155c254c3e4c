/**
 * The items of a subvolume: inodes, names, attributes and where content is. Numbers follow the tree in
 * preorder, so that they say nothing about the machine.
 * @module
 */
import { closeSync } from "node:fs";
import { ConfigError } from "@imgtool/core";
import { displayPath } from "@imgtool/host";
import { crc32c } from "../../crc32.ts";
import { fileTypeBits, type NodeKind, type TreeNode } from "../../tree/node.ts";
import { findDataRuns, openContent, readRun, type DataRun } from "../data-runs.ts";
import type { CompressedTree, Piece } from "./compress.ts";
import { encodeInode, Fields, inodeItemSize, largestItem, objects, sectorSize, types, type Item } from "./format.ts";
import { alignUp, type DataSpace } from "./space.ts";

/** Files up to this many bytes are kept in the tree, as the kernel does by default. */
export const largestInline = 2048;
const entryTypes: Readonly<Record<NodeKind, number>> = {
  file: 1,
  directory: 2,
  character: 3,
  block: 4,
  fifo: 5,
  socket: 6,
  symlink: 7,
};
const attributeEntry = 8;
const entryHeader = 30;

/** A directory that is the root of a tree of its own. */
export interface Subvolume {
  readonly id: number;
  readonly root: TreeNode;
  readonly readOnly: boolean;
  /** Absolute path; "/" for the top. */
  readonly path: string;
}

/** Where a subvolume hangs in the one above it. */
interface Mount {
  readonly child: number;
  readonly parent: number;
  readonly directory: number;
  readonly index: number;
  readonly name: Buffer;
}

/** A piece of a file's content that is to be copied. */
export interface Copy {
  readonly source: Buffer;
  /** In the file. */
  readonly offset: number;
  /** Bytes, up to the end of the file. */
  readonly length: number;
  readonly address: number;
}

export interface SubvolumePlan {
  readonly items: readonly Item[];
  readonly copies: readonly Copy[];
  /** Extents with the inode and the position in it that they belong to. */
  readonly references: readonly {
    readonly start: number;
    readonly length: number;
    readonly inode: number;
    readonly offset: number;
  }[];
  readonly mounts: readonly Mount[];
}

/** btrfs's hash of a name in a directory. */
export function nameHash(name: Uint8Array): number {
  return crc32c(name, 0xfffffffe);
}

interface Reference {
  readonly index: number;
  readonly name: Buffer;
}

/** Plans a subvolume; `children` are those of its directories that are subvolumes themselves. */
export function planSubvolume(
  subvolume: Subvolume,
  children: ReadonlyMap<TreeNode, Subvolume>,
  space: DataSpace,
  compressed: CompressedTree | undefined,
  signal: AbortSignal | undefined,
): SubvolumePlan {
  const items: Item[] = [];
  const copies: Copy[] = [];
  const mounts: Mount[] = [];
  const references: { start: number; length: number; inode: number; offset: number }[] = [];
  const numbers = new Map<TreeNode, number>([[subvolume.root, objects.firstFree]]);
  const links = new Map<TreeNode, Map<number, Reference[]>>([
    [subvolume.root, new Map([[objects.firstFree, [{ index: 0, name: Buffer.from("..") }]]])],
  ]);
  const nodes = [subvolume.root];
  // Numbers in preorder, and every name that leads to a node.
  const stack = [subvolume.root];
  let last: number = objects.firstFree;
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    if (!numbers.has(node)) {
      numbers.set(node, ++last);
      nodes.push(node);
    }
    for (const child of node.children.toReversed())
      if (!children.has(child.node) && !numbers.has(child.node)) stack.push(child.node);
  }
  for (const node of nodes) {
    if (node.kind !== "directory") continue;
    const directory = numbers.get(node) ?? 0;
    const hashed = new Map<number, Buffer[]>();
    for (const [position, { name, node: child }] of node.children.entries()) {
      const index = position + 2;
      const mounted = children.get(child);
      let location: readonly [number, number, number];
      if (mounted === undefined) {
        const number = numbers.get(child) ?? 0;
        location = [number, types.inodeItem, 0];
        const parents = links.get(child) ?? new Map<number, Reference[]>();
        links.set(child, parents);
        parents.set(directory, [...(parents.get(directory) ?? []), { index, name }]);
      } else {
        location = [mounted.id, types.rootItem, -1];
        mounts.push({ child: mounted.id, parent: subvolume.id, directory, index, name });
      }
      const entry = encodeEntry(location, entryTypes[child.kind], name);
      const hash = nameHash(name);
      hashed.set(hash, [...(hashed.get(hash) ?? []), entry]);
      items.push(fixedItem(directory, types.dirIndex, index, entry));
    }
    for (const [hash, entries] of hashed) items.push(fixedItem(directory, types.dirItem, hash, Buffer.concat(entries)));
  }
  for (const node of nodes) {
    const inode = numbers.get(node) ?? 0;
    const parents = links.get(node) ?? new Map<number, Reference[]>();
    for (const [parent, names] of parents) items.push(...encodeReferences(inode, parent, names));
    items.push(...attributeItems(inode, node));
    let bytes = 0;
    let size = node.target?.length ?? node.size;
    if (node.kind === "directory") size = node.children.reduce((sum, { name }) => sum + 2 * name.length, 0);
    else if (compressed?.inline.has(node) === true) {
      bytes = size;
      items.push(compressedInlineItem(inode, size, compressed.type, compressed.inline.get(node) ?? Buffer.alloc(0)));
    } else if (node.target !== undefined || (node.kind === "file" && size > 0 && size <= largestInline)) {
      bytes = size;
      items.push(inlineItem(inode, node, size));
    } else if (node.source !== undefined && node.kind === "file") {
      const runs: readonly (DataRun & Partial<Piece>)[] =
        compressed?.pieces.get(node) ?? findDataRuns(node.source, node.size, signal);
      for (const run of runs) {
        if (compressed !== undefined && run.stored !== undefined) {
          const { stored } = run;
          const extent = space.allocateWhole(stored.length);
          const whole = alignUp(run.length, sectorSize);
          copies.push({ source: Buffer.from(compressed.path), ...stored, address: extent.start });
          references.push({ ...extent, inode, offset: run.offset });
          items.push(extentItem(inode, run.offset, extent, { type: compressed.type, length: whole }));
          bytes += whole;
          continue;
        }
        let offset = run.offset;
        for (const extent of space.allocate(alignUp(run.length, sectorSize))) {
          const length = Math.min(extent.length, node.size - offset);
          copies.push({ source: node.source, offset, length, address: extent.start });
          references.push({ ...extent, inode, offset });
          items.push(extentItem(inode, offset, extent));
          offset += extent.length;
          bytes += extent.length;
        }
      }
    }
    const names = [...parents.values()].reduce((sum, list) => sum + list.length, 0);
    const fields = {
      size,
      bytes,
      links: node.kind === "directory" ? 1 : names,
      uid: node.uid,
      gid: node.gid,
      mode: fileTypeBits[node.kind] | node.mode,
      device: node.device,
      seconds: node.seconds,
      nanoseconds: node.nanoseconds,
    };
    items.push({
      objectid: inode,
      type: types.inodeItem,
      offset: 0,
      size: inodeItemSize,
      content: () => encodeInode(fields),
    });
  }
  return { items, copies, references, mounts };
}

function fixedItem(objectid: number, type: number, offset: number, bytes: Buffer): Item {
  return { objectid, type, offset, size: bytes.length, content: () => bytes };
}

export function encodeEntry(
  [objectid, type, offset]: readonly [number, number, number],
  kind: number,
  name: Uint8Array,
  value: Uint8Array = new Uint8Array(0),
): Buffer {
  return new Fields(entryHeader + name.length + value.length)
    .key(objectid, type, offset)
    .u64(1)
    .u16(value.length)
    .u16(name.length)
    .u8(kind)
    .raw(name)
    .raw(value).bytes;
}

/** The names of an inode in one directory: in one item as far as they fit, the others by their hash. */
function encodeReferences(inode: number, parent: number, names: readonly Reference[]): Item[] {
  const plain: Buffer[] = [];
  const extended = new Map<number, Buffer[]>();
  let room = largestItem;
  for (const { index, name } of names) {
    const bytes = new Fields(10 + name.length).u64(index).u16(name.length).raw(name).bytes;
    room -= bytes.length;
    if (room >= 0) {
      plain.push(bytes);
      continue;
    }
    const hash = crc32c(name, parent);
    const more = new Fields(18 + name.length).u64(parent, index).u16(name.length).raw(name).bytes;
    extended.set(hash, [...(extended.get(hash) ?? []), more]);
  }
  return [
    fixedItem(inode, types.inodeRef, parent, Buffer.concat(plain)),
    ...[...extended].map(([hash, parts]) => fixedItem(inode, types.inodeExtref, hash, Buffer.concat(parts))),
  ];
}

function attributeItems(inode: number, node: TreeNode): Item[] {
  const hashed = new Map<number, Buffer[]>();
  for (const { name, value } of node.xattrs) {
    const bytes = Buffer.from(name);
    const hash = nameHash(bytes);
    hashed.set(hash, [...(hashed.get(hash) ?? []), encodeEntry([0, 0, 0], attributeEntry, bytes, value)]);
  }
  return [...hashed].map(([hash, entries]) => {
    const bytes = Buffer.concat(entries);
    if (bytes.length > largestItem) {
      const path = displayPath(node.source ?? "/");
      throw new ConfigError(
        `${path}: its extended attributes have ${bytes.length} bytes, btrfs has room for ${largestItem}`,
        {
          code: "xattr-too-large",
          data: { path, size: bytes.length, limit: largestItem },
        },
      );
    }
    return fixedItem(inode, types.xattr, hash, bytes);
  });
}

const extentHeader = 21;

function inlineItem(inode: number, node: TreeNode, size: number): Item {
  const content = (): Buffer =>
    new Fields(extentHeader + size)
      .u64(1, size)
      .u8(0)
      .u8(0)
      .u16(0)
      .u8(0)
      .raw(node.target ?? readWhole(node.source, size)).bytes;
  return { objectid: inode, type: types.extentData, offset: 0, size: extentHeader + size, content };
}

function compressedInlineItem(inode: number, size: number, type: number, bytes: Buffer): Item {
  const content = (): Buffer =>
    new Fields(extentHeader + bytes.length).u64(1, size).u8(type).u8(0).u16(0).u8(0).raw(bytes).bytes;
  return { objectid: inode, type: types.extentData, offset: 0, size: extentHeader + bytes.length, content };
}

/** @param content what the extent holds: how it is compressed, and its bytes then. Default: as it is */
function extentItem(
  inode: number,
  offset: number,
  extent: { readonly start: number; readonly length: number },
  { type, length }: { readonly type: number; readonly length: number } = { type: 0, length: extent.length },
): Item {
  const content = (): Buffer =>
    new Fields(extentHeader + 32).u64(1, length).u8(type).u8(0).u16(0).u8(1).u64(extent.start, extent.length, 0, length)
      .bytes;
  return { objectid: inode, type: types.extentData, offset, size: extentHeader + 32, content };
}

function readWhole(path: Buffer | undefined, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  if (path === undefined) return bytes;
  const file = openContent(path);
  try {
    readRun(file, path, { offset: 0, length: size }, (at, length) => bytes.subarray(at, at + length));
  } finally {
    closeSync(file);
  }
  return bytes;
}
