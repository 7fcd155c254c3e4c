/**
 * Directories: in the inode where they fit ("short form"); in one block with its own index of hashes;
 * in many blocks with one leaf of hashes; or with a tree of such leaves and an index of free space
 * ("node form"). Entries stand in the order of their names.
 * @module
 */
import type { NodeKind, TreeNode } from "../../tree/node.ts";
import { blockSize, fileTypes, hashName, seal, setAddress, setU64, spread, viewOf } from "./format.ts";
import type { Identity, Run } from "./format.ts";
import { encodeHashNode, hashHeader, leafSiblings, planHashTree, sealHashBlock, writeHashHeader } from "./hash-tree.ts";
import type { HashTree } from "./hash-tree.ts";

/** Blocks of a directory where its leaves and its index of free space begin: at 32 and at 64 GiB. */
const leafBase: number = 2 ** 35 / blockSize;
const freeBase: number = 2 ** 36 / blockSize;
const magics = { block: 0x5844_4233, data: 0x5844_4433, free: 0x5844_4633, leaf: 0x3df1, leafOfNode: 0x3dff } as const;
const dataHeader = 64;
const freeHeader = 64;
const perLeaf: number = (blockSize - hashHeader) / 8;
const perFreeBlock: number = (blockSize - freeHeader) / 2;

interface Entry {
  readonly name: Buffer;
  readonly kind: NodeKind;
  /** undefined: the directory itself, or its parent. */
  readonly node: TreeNode | "self" | "parent";
  /** Bytes from the directory's beginning. */
  readonly position: number;
}

interface DataBlock {
  readonly entries: readonly Entry[];
  /** Bytes that header and entries take. */
  readonly used: number;
}

export interface DirectoryLayout {
  readonly form: "short" | "block" | "leaf" | "node";
  /** Bytes: of the short form, or of the blocks with entries. */
  readonly size: number;
  readonly runs: readonly Run[];
  readonly blocks: readonly DataBlock[];
  /** In the order of hashes. */
  readonly index: readonly { readonly hash: number; readonly position: number }[];
  readonly leaves: readonly number[];
  readonly tree: HashTree;
}

/** Numbers of inodes. */
export interface Numbers {
  readonly self: number;
  readonly parent: number;
  of(node: TreeNode): number;
}

const entrySize = (name: Buffer): number => Math.ceil((12 + name.length) / 8) * 8;

/** Bytes of a directory in the inode. */
export function shortSize(node: TreeNode): number {
  return node.children.reduce((sum, { name }) => sum + 8 + name.length, 6);
}

/** Decides where each entry goes, when the inode has so much room. */
export function layoutDirectory(node: TreeNode, room: number): DirectoryLayout {
  const self: Omit<Entry, "position">[] = [
    { name: Buffer.from("."), kind: "directory", node: "self" },
    { name: Buffer.from(".."), kind: "directory", node: "parent" },
  ];
  const all = [
    ...self,
    ...node.children.map((child) => ({ name: child.name, kind: child.node.kind, node: child.node })),
  ];
  const indexSize = 8 * all.length;
  const sum = all.reduce((total, { name }) => total + entrySize(name), dataHeader);
  const inOneBlock = sum + indexSize + 8 <= blockSize;
  const blocks: { entries: Entry[]; used: number }[] = [];
  let block = { entries: [] as Entry[], used: dataHeader };
  for (const entry of all) {
    const size = entrySize(entry.name);
    if (block.used + size > blockSize) {
      blocks.push(block);
      block = { entries: [], used: dataHeader };
    }
    block.entries.push({ ...entry, position: blocks.length * blockSize + block.used });
    block.used += size;
  }
  blocks.push(block);
  const size = shortSize(node);
  const none = { count: 0, firstLeaf: 0, nodes: new Map() };
  const common = { blocks, index: [], leaves: [], tree: none };
  if (size <= room) return { ...common, form: "short", size, runs: [] };
  const index = blocks
    .flatMap(({ entries }) => entries.map(({ name, position }) => ({ hash: hashName(name), position })))
    .sort((a, b) => a.hash - b.hash || a.position - b.position);
  const data = { logical: 0, count: blocks.length };
  const whole = { ...common, index, size: blocks.length * blockSize };
  if (inOneBlock) return { ...whole, form: "block", runs: [data] };
  if (hashHeader + indexSize + 4 + 2 * blocks.length <= blockSize)
    return { ...whole, form: "leaf", leaves: [all.length], runs: [data, { logical: leafBase, count: 1 }] };
  const leaves = spread(all.length, perLeaf);
  let end = 0;
  const tree = planHashTree(
    leaves.map((count) => index[(end += count) - 1]?.hash ?? 0),
    leafBase,
  );
  const free = { logical: freeBase, count: Math.ceil(blocks.length / perFreeBlock) };
  return { ...whole, form: "node", leaves, tree, runs: [data, { logical: leafBase, count: tree.count }, free] };
}

/** The bytes of a directory in the inode. */
export function encodeShortDirectory({ blocks, size }: DirectoryLayout, numbers: Numbers): Uint8Array {
  const bytes = Buffer.alloc(size);
  const entries = blocks.flatMap((block) => block.entries).slice(2);
  bytes.writeUInt8(entries.length, 0);
  bytes.writeUInt32BE(numbers.parent, 2);
  let at = 6;
  for (const { name, kind, node, position } of entries) {
    bytes.writeUInt8(name.length, at);
    // Where the entry would be in a block.
    bytes.writeUInt16BE(position, at + 1);
    bytes.set(name, at + 3);
    at += 3 + name.length;
    bytes.writeUInt8(fileTypes[kind], at);
    bytes.writeUInt32BE(numberOf(node, numbers), at + 1);
    at += 5;
  }
  return bytes;
}

function numberOf(node: Entry["node"], numbers: Numbers): number {
  if (node === "self") return numbers.self;
  return node === "parent" ? numbers.parent : numbers.of(node);
}

/** The blocks of a directory, by their place in it; `identify` says where such a place is. */
export function* encodeDirectory(
  layout: DirectoryLayout,
  numbers: Numbers,
  identify: (logical: number) => Identity,
): Generator<{ readonly logical: number; readonly bytes: Uint8Array }> {
  const { form, blocks, index, leaves, tree } = layout;
  if (form === "short") return;
  for (const [logical, block] of blocks.entries())
    yield { logical, bytes: encodeData(block, form === "block" ? index : undefined, numbers, identify(logical)) };
  if (form === "leaf") yield { logical: leafBase, bytes: encodeLeaf(layout, identify(leafBase)) };
  if (form !== "node") return;
  let from = 0;
  for (const [leaf, count] of leaves.entries()) {
    const logical = tree.firstLeaf + leaf;
    const bytes = new Uint8Array(blockSize);
    writeHashHeader(bytes, magics.leafOfNode, leafSiblings(tree, leaf, leaves.length), identify(logical));
    writeIndex(bytes, index.slice(from, from + count));
    from += count;
    yield { logical, bytes: sealHashBlock(bytes) };
  }
  for (const [place, node] of tree.nodes) {
    const logical = leafBase + place;
    yield { logical, bytes: encodeHashNode(node, identify(logical)) };
  }
  for (let first = 0; first < blocks.length; first += perFreeBlock) {
    const logical = freeBase + first / perFreeBlock;
    yield { logical, bytes: encodeFree(blocks.slice(first, first + perFreeBlock), first, identify(logical)) };
  }
}

function writeDataHeader(bytes: Uint8Array, magic: number, { uuid, owner, block }: Identity): void {
  const view = viewOf(bytes);
  view.setUint32(0, magic);
  setAddress(view, 8, block);
  bytes.set(uuid, 24);
  setU64(view, 40, owner);
}

/** A block of entries; with `index` one that is a directory by itself, its hashes at its end. */
function encodeData(
  { entries, used }: DataBlock,
  index: DirectoryLayout["index"] | undefined,
  numbers: Numbers,
  identity: Identity,
): Uint8Array {
  const bytes = new Uint8Array(blockSize);
  const view = viewOf(bytes);
  writeDataHeader(bytes, index === undefined ? magics.data : magics.block, identity);
  for (const { name, kind, node, position } of entries) {
    const at = position % blockSize;
    const end = at + entrySize(name);
    setU64(view, at, numberOf(node, numbers));
    view.setUint8(at + 8, name.length);
    bytes.set(name, at + 9);
    view.setUint8(at + 9 + name.length, fileTypes[kind]);
    view.setUint16(end - 2, at);
  }
  let end = blockSize;
  if (index !== undefined) {
    end -= 8 + 8 * index.length;
    for (const [item, { hash, position }] of index.entries()) {
      view.setUint32(end + item * 8, hash);
      view.setUint32(end + item * 8 + 4, position / 8);
    }
    view.setUint32(blockSize - 8, index.length);
  }
  if (used < end) {
    view.setUint16(used, 0xffff);
    view.setUint16(used + 2, end - used);
    view.setUint16(end - 2, used);
    // The largest free space is noted in the header too.
    view.setUint16(48, used);
    view.setUint16(50, end - used);
  }
  return seal(bytes, 4);
}

function writeIndex(bytes: Uint8Array, index: DirectoryLayout["index"]): void {
  const view = viewOf(bytes);
  view.setUint16(56, index.length);
  for (const [item, { hash, position }] of index.entries()) {
    view.setUint32(hashHeader + item * 8, hash);
    view.setUint32(hashHeader + item * 8 + 4, position / 8);
  }
}

/** The leaf of a directory that has only one, which also says how much is free in each block. */
function encodeLeaf({ index, blocks }: DirectoryLayout, identity: Identity): Uint8Array {
  const bytes = new Uint8Array(blockSize);
  const view = viewOf(bytes);
  writeHashHeader(bytes, magics.leaf, { forward: 0, back: 0 }, identity);
  writeIndex(bytes, index);
  const start = blockSize - 4 - 2 * blocks.length;
  for (const [item, { used }] of blocks.entries()) view.setUint16(start + item * 2, blockSize - used);
  view.setUint32(blockSize - 4, blocks.length);
  return sealHashBlock(bytes);
}

/** How much is free in each block, for the node form. */
function encodeFree(blocks: readonly DataBlock[], first: number, identity: Identity): Uint8Array {
  const bytes = new Uint8Array(blockSize);
  const view = viewOf(bytes);
  writeDataHeader(bytes, magics.free, identity);
  view.setUint32(48, first);
  view.setUint32(52, blocks.length);
  view.setUint32(56, blocks.length);
  for (const [item, { used }] of blocks.entries()) view.setUint16(freeHeader + item * 2, blockSize - used);
  return seal(bytes, 4);
}
