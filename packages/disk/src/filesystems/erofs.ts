/**
 * EROFS, uncompressed, written by imgtool itself: erofs-utils before 1.7 cannot take an archive, sets
 * one time for all files with -T, and needs a copy of the tree for anything that is left out.
 * Uncompressed data also suits content-addressed chunks: an unchanged file has unchanged bytes.
 *
 * Inodes stand together at the front, each with its attributes and, where it fits, the end of its file.
 * @module
 */
import { closeSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { throwIfAborted } from "@imgtool/core";
import type { BlockWriter } from "../sparse-file.ts";
import { walk, type TreeNode } from "../tree/node.ts";
import { openContent, readRun } from "./data-runs.ts";
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
import { doesNotFit, type FilesystemDriver } from "./filesystem.ts";

interface Placed {
  readonly node: TreeNode;
  readonly number: number;
  readonly size: number;
  /** Position of the inode, in bytes. */
  readonly position: number;
  readonly headSize: number;
  readonly inline: boolean;
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
  prepare(options) {
    const { placed, blocks } = place(options.tree);
    const size = options.size ?? blocks * blockSize;
    if (blocks * blockSize > size) throw doesNotFit("erofs", blocks * blockSize, size);
    const inodes = new Map(placed.map((inode) => [inode.node, inode]));
    const nid = (node: TreeNode): number => (inodes.get(node)?.position ?? 0) / inodeSlot;
    const write = async (file: BlockWriter): Promise<void> => {
      const superblock = {
        rootNid: nid(options.tree),
        inodes: placed.length,
        created: options.sourceDateEpoch ?? 0,
        blocks,
        uuid: options.uuid,
        label: Buffer.from(options.label ?? ""),
      };
      file.write(superblockOffset, encodeSuperblock(superblock));
      for (const inode of placed) {
        const { node } = inode;
        const links =
          node.kind === "directory"
            ? 2 + node.children.filter((child) => child.node.kind === "directory").length
            : node.links;
        const address = node.device === undefined ? inode.block : encodeDevice(node.device);
        file.write(inode.position, encodeInode({ ...inode, links, address }));
        if (inode.inline) writeRange(file, inode, inode.blocks * blockSize, inode.position + inode.headSize, nid);
      }
      for (const [index, inode] of placed.entries()) {
        if (index % 256 === 0) {
          throwIfAborted(options.signal);
          await setImmediate();
        }
        if (inode.blocks > 0) writeRange(file, inode, 0, inode.block * blockSize, nid);
      }
    };
    return Promise.resolve({ size, write });
  },
};

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
function place(root: TreeNode): { placed: Placed[]; blocks: number } {
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
    const tail = size % blockSize;
    const inline = tail > 0 && headSize + tail <= blockSize;
    // What is inline must share its block with the inode's end; an inode's fixed part must not be split.
    const together = inline ? headSize + tail : inodeSize;
    const within = position % blockSize;
    if (within + together > blockSize) position += blockSize - within;
    const blocks = inline ? (size - tail) / blockSize : Math.ceil(size / blockSize);
    placed.push({ node, number: placed.length + 1, size, position, headSize, inline, directory, block: 0, blocks });
    position += Math.ceil((headSize + (inline ? tail : 0)) / inodeSlot) * inodeSlot;
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
