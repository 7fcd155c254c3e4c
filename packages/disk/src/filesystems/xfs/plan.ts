/**
 * Decides everything about an XFS before a byte is written: what each inode keeps in itself, inode
 * numbers, the blocks of every file, the size.
 * @module
 */
import { ConfigError } from "@imgtool/core";
import { displayPath } from "@imgtool/host";
import { walk, type TreeNode } from "../../tree/node.ts";
import { findDataRuns } from "../data-runs.ts";
import { doesNotFit, sizeWithRoom, type FilesystemOptions } from "../filesystem.ts";
import { extentTreeBlocks } from "./btree.ts";
import { layoutDirectory, shortSize, type DirectoryLayout } from "./directory.ts";
import { blockSize, forkRoom, inodesPerChunk, type Extent, type Run } from "./format.ts";
import { makeGeometry } from "./geometry.ts";
import { dataRoom } from "./inode.ts";
import { Space } from "./space.ts";
import { layoutXattrs, type XattrLayout } from "./xattrs.ts";

/** What systemd-repart gives an XFS at least, and mkfs.xfs 6.1 asks for. */
export const minimumSize: number = 300 * 1024 ** 2;
/** Where the attribute fork begins that must leave room for extents: mkfs.xfs and the kernel have it there at first. */
const usualAttributesAt = 104;
/** Where it begins when it holds no more than its own extents: room for six. */
const remoteAttributesAt: number = forkRoom - 96;
/** A device's numbers take the first eight bytes. */
const deviceRoom = 8;
const longestTarget = 1023;
/** The root directory and the two inodes of the real-time device come first. */
const reservedInodes = 2;

/** What an inode looks like, wherever its blocks will be. */
interface Shape {
  readonly node: TreeNode;
  readonly directory: DirectoryLayout | undefined;
  /** The data fork is in the inode. */
  readonly local: boolean;
  readonly runs: readonly Run[];
  readonly xattrs: XattrLayout | undefined;
  /** Bytes behind the fixed fields where the attribute fork begins; 0: there is none. */
  readonly attributesAt: number;
}

export interface PlannedInode extends Shape {
  readonly number: number;
  readonly extents: readonly Extent[];
  /** Blocks of the tree of extents. */
  readonly tree: readonly number[];
  readonly attributeExtents: readonly Extent[];
}

export interface XfsPlan {
  readonly space: Space;
  /** In the order of their numbers. */
  readonly inodes: readonly PlannedInode[];
  readonly numbers: ReadonlyMap<TreeNode, number>;
}

const alignUp8 = (size: number): number => Math.ceil(size / 8) * 8;

function limit(node: TreeNode, reason: string): ConfigError {
  const path = displayPath(node.source ?? "/");
  return new ConfigError(`${path}: ${reason}`, { code: "xfs-limit", data: { path, reason } });
}

/**
 * Decides what goes into the inode: both forks if they fit; else attributes that leave the usual room for
 * extents; else whatever there is of content.
 */
function placeForks(node: TreeNode): Pick<Shape, "attributesAt" | "xattrs"> {
  if (node.kind !== "directory" && node.kind !== "file" && node.kind !== "symlink") {
    const xattrs = layoutXattrs(node, forkRoom - deviceRoom);
    return { xattrs, attributesAt: xattrs === undefined ? 0 : deviceRoom };
  }
  const size = node.kind === "directory" ? shortSize(node) : (node.target?.length ?? 0);
  const both = node.kind === "file" ? undefined : layoutXattrs(node, forkRoom - alignUp8(size));
  const xattrs = both?.inline === undefined ? layoutXattrs(node, forkRoom - usualAttributesAt) : both;
  if (xattrs === undefined) return { xattrs, attributesAt: 0 };
  const attributesAt = xattrs.inline === undefined ? remoteAttributesAt : forkRoom - alignUp8(xattrs.inline.length);
  return { xattrs, attributesAt };
}

function shapeOf(node: TreeNode, signal: AbortSignal | undefined): Shape {
  const { xattrs, attributesAt } = placeForks(node);
  const room = dataRoom(attributesAt);
  const common = { node, xattrs, attributesAt, directory: undefined, local: false, runs: [] };
  if (node.kind === "directory") {
    const directory = layoutDirectory(node, room);
    return { ...common, directory, local: directory.form === "short", runs: directory.runs };
  }
  if (node.target !== undefined) {
    const { length } = node.target;
    if (length > longestTarget)
      throw limit(node, `a symbolic link of ${length} bytes, xfs has room for ${longestTarget}`);
    const local = length <= room;
    return { ...common, local, runs: local ? [] : [{ logical: 0, count: 1 }] };
  }
  // The format has 14 bits for the major number, of which the kernel reads nine.
  if (node.device !== undefined && (node.device.major >= 2 ** 9 || node.device.minor >= 2 ** 18))
    throw limit(node, `device ${node.device.major}:${node.device.minor}, xfs has room for 511:262143`);
  if (node.kind !== "file" || node.source === undefined) return common;
  const runs = findDataRuns(node.source, node.size, signal).map(({ offset, length }) => ({
    logical: offset / blockSize,
    count: Math.ceil(length / blockSize),
  }));
  return { ...common, runs };
}

/**
 * Plans a file system of `options.size` bytes, or the smallest.
 * @throws ConfigError `filesystem-full`, `xfs-limit`, `xattr-too-large`
 */
export function planXfs(options: FilesystemOptions): XfsPlan {
  const shapes: Shape[] = [];
  for (const { node, again } of walk(options.tree)) if (!again) shapes.push(shapeOf(node, options.signal));
  const attempt = (blocks: number): XfsPlan => allocate(shapes, blocks, options);
  if (options.size === undefined) {
    const least = grow(attempt, minimumSize);
    // What is free in the smallest one is room already.
    const used = usedBlocks(least.space) * blockSize;
    const size = Math.max(least.space.geometry.blocks * blockSize, sizeWithRoom(used, options, minimumSize));
    return grow(attempt, size);
  }
  const { size } = options;
  if (size >= minimumSize) {
    const plan = attempt(Math.floor(size / blockSize));
    if (plan.space.missing === 0) return plan;
  }
  const smallest = grow(attempt, Math.max(size, minimumSize));
  throw doesNotFit("xfs", smallest.space.geometry.blocks * blockSize, size);
}

function usedBlocks(space: Space): number {
  const free = space.groups.flatMap((group) => space.free(group));
  return free.reduce((used, { start, end }) => used - (end - start), space.geometry.blocks);
}

/** Grows until the plan fits: with its groups grows what they keep free. */
function grow(attempt: (blocks: number) => XfsPlan, size: number): XfsPlan {
  let blocks = Math.floor(size / blockSize);
  for (;;) {
    const plan = attempt(blocks);
    if (plan.space.missing === 0) return plan;
    blocks += plan.space.missing;
  }
}

function allocate(shapes: readonly Shape[], blocks: number, options: FilesystemOptions): XfsPlan {
  const chunks = Math.ceil((shapes.length + reservedInodes) / inodesPerChunk);
  const geometry = makeGeometry(blocks, options.sectorSize ?? 512);
  const space = new Space(geometry, chunks, options.readOnly !== true);
  const numbers = new Map<TreeNode, number>();
  const inodes = shapes.map((shape, index): PlannedInode => {
    const number = space.inodeNumber(index === 0 ? 0 : index + reservedInodes);
    numbers.set(shape.node, number);
    const extents = shape.runs.flatMap((run) => space.allocate(run));
    const tree = space.blocks(extentTreeBlocks(extents.length, dataRoom(shape.attributesAt)));
    const attributeExtents = (shape.xattrs?.runs ?? []).flatMap((run) => space.allocate(run));
    if (attributeExtents.length * 16 > forkRoom - shape.attributesAt && shape.xattrs?.inline === undefined)
      throw limit(shape.node, `its extended attributes are in ${attributeExtents.length} pieces`);
    return { ...shape, number, extents, tree, attributeExtents };
  });
  return { space, inodes, numbers };
}
