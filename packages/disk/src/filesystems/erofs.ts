/**
 * EROFS, written by imgtool itself: erofs-utils before 1.7 cannot take an archive, sets one time for all files
 * with -T, and needs a copy of the tree for anything that is left out. It is compressed where that is asked for.
 * Uncompressed data suits content-addressed chunks better: they are then compressed themselves.
 *
 * Inodes stand together at the front, each with its attributes and, where it fits, the end of its file, or with
 * the index of a compressed file.
 * @module
 */
import { closeSync, openSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { throwIfAborted } from "@imgtool/core";
import type { BlockWriter } from "../sparse-file.ts";
import { walk, type TreeNode } from "../tree/node.ts";
import { openContent, readRun } from "./data-runs.ts";
import { compressTree, encodeIndex, indexSize, type CompressedFile, type CompressedTree } from "./erofs/compress.ts";
import {
  blockSize,
  directorySize,
  encodeDirectoryBlock,
  encodeInode,
  encodeSuperblock,
  encodeXattrs,
  inodeSize,
  inodeSlot,
  packDirectory,
  superblockOffset,
  type ErofsEntry,
} from "./erofs/format.ts";
import { doesNotFit, type FilesystemDriver, type FilesystemOptions } from "./filesystem.ts";

interface Placed {
  readonly node: TreeNode;
  readonly number: number;
  readonly size: number;
  /** Position of the inode, in bytes. */
  readonly position: number;
  readonly headSize: number;
  readonly inline: boolean;
  readonly compressed: CompressedFile | undefined;
  readonly directory: readonly (readonly ErofsEntry[])[] | undefined;
  /** First block of data outside the inode area. */
  block: number;
  /** Blocks there. */
  readonly blocks: number;
}

export const erofs: FilesystemDriver = {
  name: "erofs",
  writable: false,
  tools: [],
  minimumSize: 4096,
  labelLimit: 15,
  async prepare(options) {
    const { compression, scratch, scratchName = "filesystem" } = options;
    const data =
      compression === undefined
        ? undefined
        : await compressTree(options.tree, compression, join(scratch, `${scratchName}.erofs-data`), options.signal);
    const { placed, blocks } = place(options.tree, data?.files ?? new Map<TreeNode, CompressedFile>());
    const size = options.size ?? blocks * blockSize;
    if (blocks * blockSize > size) {
      if (data !== undefined) await rm(data.path, { force: true });
      throw doesNotFit("erofs", blocks * blockSize, size);
    }
    return {
      size,
      write: async (target) => {
        await write(placed, blocks, data, options, target);
        if (data !== undefined) await rm(data.path, { force: true });
      },
    };
  },
};

async function write(
  placed: readonly Placed[],
  blocks: number,
  data: CompressedTree | undefined,
  options: FilesystemOptions,
  target: BlockWriter,
): Promise<void> {
  const inodes = new Map(placed.map((inode) => [inode.node, inode]));
  const nid = (node: TreeNode): number => (inodes.get(node)?.position ?? 0) / inodeSlot;
  target.write(
    superblockOffset,
    encodeSuperblock({
      rootNid: nid(options.tree),
      inodes: placed.length,
      created: options.sourceDateEpoch ?? 0,
      blocks,
      uuid: options.uuid,
      label: Buffer.from(options.label ?? ""),
      algorithm: data?.algorithm,
    }),
  );
  for (const inode of placed) {
    const { node, compressed, position, headSize } = inode;
    const links =
      node.kind === "directory"
        ? 2 + node.children.filter((child) => child.node.kind === "directory").length
        : node.links;
    const address = compressed?.blocks ?? (node.device === undefined ? inode.block : encodeDevice(node.device));
    const layout = compressed !== undefined ? "compressed" : inode.inline ? "inline" : "plain";
    target.write(position, encodeInode({ ...inode, links, address, layout }));
    if (compressed !== undefined) {
      const index = encodeIndex(compressed, inode.size, inode.block, data?.algorithm.number ?? 0);
      target.write(alignIndex(position + headSize), index);
    } else if (inode.inline) writeRange(target, inode, inode.blocks * blockSize, position + headSize, nid);
  }
  const scratch = data === undefined ? undefined : openSync(data.path, "r");
  try {
    for (const [index, inode] of placed.entries()) {
      if (index % 256 === 0) {
        throwIfAborted(options.signal);
        await setImmediate();
      }
      const position = inode.block * blockSize;
      const { compressed } = inode;
      if (compressed !== undefined && data !== undefined && scratch !== undefined) {
        const run = { offset: compressed.offset, length: compressed.blocks * blockSize };
        readRun(scratch, Buffer.from(data.path), run, (at, wanted) => target.room(position + at - run.offset, wanted));
      } else if (inode.blocks > 0) writeRange(target, inode, 0, position, nid);
    }
  } finally {
    if (scratch !== undefined) closeSync(scratch);
  }
}

/** The index of a compressed file begins on a multiple of 8 behind its inode. */
function alignIndex(position: number): number {
  return Math.ceil(position / 8) * 8;
}

/** Writes an inode's data from byte `from`: its whole blocks, or what is left for the inode. */
function writeRange(
  file: BlockWriter,
  inode: Placed,
  from: number,
  position: number,
  nid: (node: TreeNode) => number,
): void {
  const { node } = inode;
  const length =
    from === 0 ? Math.min(inode.size, inode.blocks === 0 ? inode.size : inode.blocks * blockSize) : inode.size - from;
  const path = node.source;
  if (inode.directory !== undefined) {
    for (let at = 0; at < length; at += blockSize) {
      const block = encodeDirectoryBlock(inode.directory[(from + at) / blockSize] ?? [], nid);
      file.write(position + at, block.subarray(0, Math.min(blockSize, length - at)));
    }
  } else if (node.target !== undefined) file.write(position, node.target);
  else if (path !== undefined) {
    const source = openContent(path);
    try {
      readRun(source, path, { offset: from, length }, (at, wanted) => file.room(position + at - from, wanted));
    } finally {
      closeSync(source);
    }
  }
}

/** Decides where every inode and all data go. */
function place(root: TreeNode, files: ReadonlyMap<TreeNode, CompressedFile>): { placed: Placed[]; blocks: number } {
  const parents = new Map<TreeNode, TreeNode>([[root, root]]);
  const placed: Placed[] = [];
  let position = blockSize;
  for (const { node, again } of walk(root)) {
    for (const child of node.children) parents.set(child.node, node);
    if (again) continue;
    let directory: ErofsEntry[][] | undefined;
    let size = node.target?.length ?? node.size;
    if (node.kind === "directory") {
      const dots = [
        { name: Buffer.from("."), node },
        { name: Buffer.from(".."), node: parents.get(node) ?? root },
      ];
      // Names such as "!" and "-" sort before the dots.
      const entries = [...dots, ...node.children].sort((a, b) => Buffer.compare(a.name, b.name));
      directory = packDirectory(entries);
      size = directorySize(directory);
    }
    const headSize = inodeSize + encodeXattrs(node.xattrs).length;
    const compressed = files.get(node);
    const tail = size % blockSize;
    const inline = compressed === undefined && tail > 0 && headSize + tail <= blockSize;
    // What is inline must share its block with the inode's end; an inode's fixed part must not be split.
    const together = inline ? headSize + tail : inodeSize;
    const within = position % blockSize;
    if (within + together > blockSize) position += blockSize - within;
    const blocks = compressed?.blocks ?? (inline ? (size - tail) / blockSize : Math.ceil(size / blockSize));
    const number = placed.length + 1;
    placed.push({ node, number, size, position, headSize, inline, compressed, directory, block: 0, blocks });
    const behind = compressed === undefined ? (inline ? tail : 0) : alignIndex(headSize) - headSize + indexSize(size);
    position += Math.ceil((headSize + behind) / inodeSlot) * inodeSlot;
  }
  let block = Math.ceil(position / blockSize);
  for (const inode of placed) {
    if (inode.blocks === 0) continue;
    inode.block = block;
    block += inode.blocks;
  }
  return { placed, blocks: block };
}

function encodeDevice({ major, minor }: { readonly major: number; readonly minor: number }): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}
