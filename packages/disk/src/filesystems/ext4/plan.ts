/**
 * Decides everything about an ext4 file system before a byte is written: inode numbers, the blocks of
 * every file, the size.
 * @module
 */
import { ConfigError } from "@imgtool/core";
import { walk, type TreeLink, type TreeNode } from "../../tree/node.ts";
import { findDataRuns } from "../data-runs.ts";
import { doesNotFit, sizeWithRoom, type FilesystemOptions } from "../filesystem.ts";
import { layoutDirectory, type DirectoryLayout } from "./directory.ts";
import { leafBlocksFor } from "./extents.ts";
import { blockSize, blocksPerGroup, firstFreeInode, lostAndFoundInode, rootInode, type Extent } from "./format.ts";
import { BlockAllocator, hasSuperblock, makeGeometry, type Geometry } from "./geometry.ts";
import { journalBlocks } from "./superblock.ts";
import { placeXattrs } from "./xattrs.ts";

/** A run of blocks of a file that hold data. */
interface BlockRun {
  readonly logical: number;
  readonly count: number;
}

export interface PlannedInode {
  readonly number: number;
  readonly node: TreeNode;
  /** Entries of a directory by block; undefined for everything else. */
  readonly directory: DirectoryLayout | undefined;
  readonly runs: readonly BlockRun[];
  readonly xattrs: "none" | "inode" | "block";
  extents: Extent[];
  leaves: number[];
  xattrBlock: number;
}

export interface Ext4Plan {
  readonly geometry: Geometry;
  readonly allocator: BlockAllocator;
  /** In the order of their numbers. */
  readonly inodes: readonly PlannedInode[];
  readonly blockBitmaps: number;
  readonly inodeBitmaps: number;
  readonly inodeTables: readonly number[];
  readonly journal: readonly Extent[];
  readonly journalBlocks: number;
}

/** Inodes an ext4 of so many bytes gets from mke2fs. */
const bytesPerInode = 16_384;
/** What systemd-repart gives an ext4 at least. */
export const minimumSize: number = 32 * 1024 ** 2;
const lostAndFoundBlocks = 4;
const leastGroup = 64;

function fastLink(node: TreeNode): boolean {
  return node.target !== undefined && node.target.length < 60;
}

/** Numbers the inodes: root, lost+found, then the tree in preorder. */
function numberInodes(root: TreeNode): { numbers: Map<TreeNode, number>; root: TreeNode } {
  const name = Buffer.from("lost+found");
  let children: TreeLink[] = root.children;
  let lost = children.find((child) => child.name.equals(name) && child.node.kind === "directory")?.node;
  if (lost === undefined) {
    if (children.some((child) => child.name.equals(name)))
      throw new ConfigError("/lost+found of the tree is no directory, which ext4 needs it to be", {
        code: "ext4-lost-and-found",
      });
    lost = { ...root, source: undefined, mode: 0o700, uid: 0, gid: 0, xattrs: [], links: 1, children: [] };
    children = [...children, { name, node: lost }].sort((a, b) => Buffer.compare(a.name, b.name));
  }
  const whole = { ...root, children };
  const numbers = new Map<TreeNode, number>([
    [whole, rootInode],
    [lost, lostAndFoundInode],
  ]);
  let next = firstFreeInode;
  for (const { node, again } of walk(whole)) if (!again && !numbers.has(node)) numbers.set(node, next++);
  return { numbers, root: whole };
}

/**
 * Plans a file system of `options.size` bytes, or the smallest.
 * @throws ConfigError `filesystem-full`
 */
export function planExt4(options: FilesystemOptions): Ext4Plan {
  const { numbers, root } = numberInodes(options.tree);
  const parents = new Map<TreeNode, TreeNode>();
  for (const node of numbers.keys()) for (const child of node.children) parents.set(child.node, node);
  const inodes = [...numbers].map(([node, number]): PlannedInode => {
    const directory =
      node.kind === "directory"
        ? layoutDirectory(
            number,
            numbers.get(parents.get(node) ?? root) ?? rootInode,
            node.children.map((child) => ({
              name: child.name,
              kind: child.node.kind,
              inode: numbers.get(child.node) ?? 0,
            })),
            {
              hashSeed: options.hashSeed ?? options.uuid,
              minimumBlocks: number === lostAndFoundInode ? lostAndFoundBlocks : 1,
            },
          )
        : undefined;
    let runs: BlockRun[] = [];
    if (directory !== undefined) runs = [{ logical: 0, count: directory.blocks }];
    else if (node.target !== undefined && !fastLink(node)) runs = [{ logical: 0, count: 1 }];
    else if (node.source !== undefined && node.kind === "file")
      runs = findDataRuns(node.source, node.size, options.signal).map(({ offset, length }) => ({
        logical: offset / blockSize,
        count: Math.ceil(length / blockSize),
      }));
    const xattrs = placeXattrs(node.xattrs, node.source?.toString() ?? "");
    return { number, node, directory, runs, xattrs, extents: [], leaves: [], xattrBlock: 0 };
  });
  inodes.sort((a, b) => a.number - b.number);

  const used = firstFreeInode + inodes.length;
  const attempt = (blocks: number): Ext4Plan => {
    const wanted =
      options.readOnly === true ? used : Math.max(used + Math.ceil(used / 16), (blocks * blockSize) / bytesPerInode);
    return allocate(
      inodes,
      makeGeometry(blocks, Math.ceil(wanted)),
      options.readOnly === true ? 0 : journalBlocks(blocks),
    );
  };
  if (options.size !== undefined) {
    const blocks = Math.floor(options.size / blockSize);
    const plan = attempt(blocks);
    const needed = plan.allocator.highWater;
    if (needed > blocks) throw doesNotFit("ext4", smallest(attempt).geometry.blocks * blockSize, options.size);
    return plan;
  }
  const least = smallest(attempt);
  const blocks = sizeWithRoom(least.geometry.blocks * blockSize, options, minimumSize) / blockSize;
  const within = blocks % blocksPerGroup;
  return attempt(hasRoomForGroup(blocks) ? blocks : blocks - within);
}

/** Grows until the plan fits: a larger file system needs more groups and a larger journal itself. */
function smallest(attempt: (blocks: number) => Ext4Plan): Ext4Plan {
  let blocks = 64;
  for (;;) {
    const plan = attempt(blocks);
    const needed = plan.allocator.highWater;
    if (needed <= blocks) return plan;
    blocks = needed;
    if (!hasRoomForGroup(blocks)) blocks += leastGroup - (blocks % blocksPerGroup);
  }
}

/** Whether the last group can hold its own copy of the superblock and something more. */
function hasRoomForGroup(blocks: number): boolean {
  const within = blocks % blocksPerGroup;
  return within === 0 || within >= leastGroup || !hasSuperblock(Math.floor(blocks / blocksPerGroup));
}

function allocate(inodes: readonly PlannedInode[], geometry: Geometry, journalSize: number): Ext4Plan {
  const allocator = new BlockAllocator(geometry);
  const blockBitmaps = allocator.contiguous(geometry.groups);
  const inodeBitmaps = allocator.contiguous(geometry.groups);
  const inodeTables = Array.from({ length: geometry.groups }, () => allocator.contiguous(geometry.inodeTableBlocks));
  const journal = allocator.allocate(journalSize);
  for (const inode of inodes) {
    inode.extents = inode.runs.flatMap(({ logical, count }) => allocator.allocate(count, logical));
    inode.leaves = Array.from({ length: leafBlocksFor(inode.extents.length) }, () => allocator.contiguous(1));
    inode.xattrBlock = inode.xattrs === "block" ? allocator.contiguous(1) : 0;
  }
  return { geometry, allocator, inodes, blockBitmaps, inodeBitmaps, inodeTables, journal, journalBlocks: journalSize };
}
