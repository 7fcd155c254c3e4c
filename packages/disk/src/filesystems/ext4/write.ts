/**
 * Writes a planned ext4 file system, front to back as far as the format allows.
 * @module
 */
import { setImmediate } from "node:timers/promises";
import { throwIfAborted, parseUuid } from "@imgtool/core";
import { crc32c } from "../../crc32.ts";
import type { BlockWriter } from "../../sparse-file.ts";
import { fileTypeBits } from "../../tree/node.ts";
import { copyExtents } from "../data-runs.ts";
import type { FilesystemOptions } from "../filesystem.ts";
import { encodeDirectory } from "./directory.ts";
import { encodeExtentLeaf, encodeExtentRoot } from "./extents.ts";
import {
  blockSize,
  blocksPerGroup,
  firstFreeInode,
  inodeFlags,
  inodeSize,
  journalInode,
  type Extent,
} from "./format.ts";
import { hasSuperblock } from "./geometry.ts";
import { encodeInode, inodeChecksumSeed } from "./inode.ts";
import type { Ext4Plan, PlannedInode } from "./plan.ts";
import { encodeDescriptor, encodeJournalSuperblock, encodeSuperblock, type GroupFields } from "./superblock.ts";
import { encodeXattrBlock } from "./xattrs.ts";

const countBlocks = (extents: readonly Extent[]): number => extents.reduce((sum, extent) => sum + extent.count, 0);

export class Ext4Writer {
  readonly #plan: Ext4Plan;
  readonly #options: FilesystemOptions;
  readonly #file: BlockWriter;
  readonly #seed: number;

  constructor(plan: Ext4Plan, options: FilesystemOptions, file: BlockWriter) {
    this.#plan = plan;
    this.#options = options;
    this.#file = file;
    this.#seed = crc32c(parseUuid(options.uuid));
  }

  async write(): Promise<void> {
    this.#writeInodes();
    this.#writeGroups();
    const [journal] = this.#plan.journal;
    if (journal !== undefined)
      this.#file.write(
        journal.start * blockSize,
        encodeJournalSuperblock(this.#plan.journalBlocks, this.#options.uuid),
      );
    let count = 0;
    for (const inode of this.#plan.inodes) {
      if (++count % 256 === 0) {
        throwIfAborted(this.#options.signal);
        await setImmediate();
      }
      this.#writeContent(inode);
    }
  }

  #writeContent(inode: PlannedInode): void {
    const { node, extents } = inode;
    const seed = inodeChecksumSeed(this.#seed, inode.number);
    const put = (block: number, bytes: Uint8Array): void => this.#file.write(block * blockSize, bytes);
    const [first] = extents;
    if (inode.directory !== undefined) {
      const starts = extents.flatMap(({ start, count }) => Array.from({ length: count }, (_, index) => start + index));
      let index = 0;
      for (const bytes of encodeDirectory(inode.directory, seed)) put(starts[index++] as number, bytes);
    } else if (node.target !== undefined && first !== undefined) {
      const bytes = new Uint8Array(blockSize);
      bytes.set(node.target);
      put(first.start, bytes);
    } else if (node.source !== undefined && first !== undefined)
      copyExtents(node.source, node.size, extents, blockSize, this.#file);
    for (const [index, leaf] of inode.leaves.entries()) put(leaf, encodeExtentLeaf(extents, index, seed));
    if (inode.xattrBlock > 0) put(inode.xattrBlock, encodeXattrBlock(node.xattrs, inode.xattrBlock, this.#seed));
  }

  #encodeInode(inode: PlannedInode): Uint8Array {
    const { node, extents, leaves } = inode;
    const directories = node.children.filter((child) => child.node.kind === "directory").length;
    const fields = {
      number: inode.number,
      mode: fileTypeBits[node.kind] | node.mode,
      uid: node.uid,
      gid: node.gid,
      size: node.size,
      links: node.kind === "directory" ? 2 + directories : node.links,
      blocks: countBlocks(extents) + leaves.length + (inode.xattrBlock > 0 ? 1 : 0),
      seconds: node.seconds,
      nanoseconds: node.nanoseconds,
      xattrs: inode.xattrs === "inode" ? node.xattrs : [],
      xattrBlock: inode.xattrBlock,
    };
    const tree = { flags: inodeFlags.extents, content: encodeExtentRoot(extents, leaves) };
    if (inode.directory !== undefined) {
      const flags = inodeFlags.extents | (inode.directory.index === undefined ? 0 : inodeFlags.index);
      return encodeInode({ ...fields, ...tree, flags, size: inode.directory.blocks * blockSize }, this.#seed);
    }
    if (node.target !== undefined) {
      const size = node.target.length;
      const content = extents.length === 0 ? { flags: 0, content: node.target } : tree;
      return encodeInode({ ...fields, size, ...content }, this.#seed);
    }
    if (node.device !== undefined)
      return encodeInode({ ...fields, flags: 0, content: encodeDevice(node.device) }, this.#seed);
    if (node.kind === "file") return encodeInode({ ...fields, ...tree }, this.#seed);
    return encodeInode({ ...fields, flags: 0, content: new Uint8Array(0) }, this.#seed);
  }

  #journal(): { content: Uint8Array; size: number } | undefined {
    const { journal, journalBlocks } = this.#plan;
    if (journalBlocks === 0) return undefined;
    return { content: encodeExtentRoot(journal, []), size: journalBlocks * blockSize };
  }

  #writeInodes(): void {
    const created = this.#options.sourceDateEpoch ?? 0;
    const journal = this.#journal();
    const at = (number: number): number => {
      const { inodesPerGroup } = this.#plan.geometry;
      const group = Math.floor((number - 1) / inodesPerGroup);
      return (this.#plan.inodeTables[group] ?? 0) * blockSize + ((number - 1) % inodesPerGroup) * inodeSize;
    };
    const reserved = {
      mode: 0,
      uid: 0,
      gid: 0,
      size: 0,
      links: 0,
      blocks: 0,
      flags: 0,
      seconds: created,
      nanoseconds: 0,
      content: new Uint8Array(0),
      xattrs: [],
      xattrBlock: 0,
    };
    const own = new Map(this.#plan.inodes.map((inode) => [inode.number, inode]));
    const last = firstFreeInode + this.#plan.inodes.length;
    for (let number = 1; number < last; number++) {
      const inode = own.get(number);
      let bytes: Uint8Array;
      if (inode !== undefined) bytes = this.#encodeInode(inode);
      else if (number === journalInode && journal !== undefined) {
        const blocks = this.#plan.journalBlocks;
        const fields = { number, mode: 0o100600, links: 1, blocks, flags: inodeFlags.extents };
        bytes = encodeInode({ ...reserved, ...fields, ...journal }, this.#seed);
      } else if (number < firstFreeInode - 1) bytes = encodeInode({ ...reserved, number }, this.#seed);
      else continue;
      this.#file.write(at(number), bytes);
    }
  }

  #writeGroups(): void {
    const { geometry, allocator, inodes, blockBitmaps, inodeBitmaps, inodeTables, journal } = this.#plan;
    const { groups, inodesPerGroup, blocks } = geometry;
    const bitmaps = makeBlockBitmaps(allocator.usedRanges(), geometry);
    const lastInode = inodes.at(-1)?.number ?? 0;
    const directories = new Map<number, number>();
    for (const { number, node } of inodes) {
      const group = Math.floor((number - 1) / inodesPerGroup);
      if (node.kind === "directory") directories.set(group, (directories.get(group) ?? 0) + 1);
    }
    const descriptors = new Uint8Array(geometry.descriptorBlocks * blockSize);
    let freeBlocks = 0;
    for (let group = 0; group < groups; group++) {
      const bitmap = bitmaps(group);
      const usedInodes = Math.max(0, Math.min(inodesPerGroup, lastInode - group * inodesPerGroup));
      const inodeBitmap = new Uint8Array(blockSize).fill(0xff);
      fillBits(inodeBitmap, usedInodes, inodesPerGroup);
      const free = Math.min(blocksPerGroup, blocks - group * blocksPerGroup) - bitmap.used;
      freeBlocks += free;
      const fields: GroupFields = {
        blockBitmap: blockBitmaps + group,
        inodeBitmap: inodeBitmaps + group,
        inodeTable: inodeTables[group] ?? 0,
        freeBlocks: free,
        freeInodes: inodesPerGroup - usedInodes,
        directories: directories.get(group) ?? 0,
        unusedInodes: inodesPerGroup - usedInodes,
        blockBitmapChecksum: crc32c(bitmap.bytes, this.#seed),
        inodeBitmapChecksum: crc32c(inodeBitmap.subarray(0, inodesPerGroup / 8), this.#seed),
      };
      descriptors.set(encodeDescriptor(fields, group, this.#seed), group * 64);
      this.#file.write(fields.blockBitmap * blockSize, bitmap.bytes);
      this.#file.write(fields.inodeBitmap * blockSize, inodeBitmap);
    }
    const label = Buffer.from(this.#options.label ?? "");
    const superblock = {
      geometry,
      freeBlocks,
      freeInodes: groups * inodesPerGroup - lastInode,
      uuid: this.#options.uuid,
      hashSeed: this.#options.hashSeed ?? this.#options.uuid,
      label,
      created: this.#options.sourceDateEpoch ?? 0,
      journal: journal.length === 0 ? undefined : this.#journal(),
    };
    for (let group = 0; group < groups; group++) {
      if (!hasSuperblock(group)) continue;
      const start = group * blocksPerGroup * blockSize;
      this.#file.write(start + (group === 0 ? 1024 : 0), encodeSuperblock(superblock, group));
      this.#file.write(start + blockSize, descriptors);
    }
  }
}

/** Clears bits `from` to `to` of a bitmap. */
function fillBits(bitmap: Uint8Array, from: number, to: number): void {
  for (let bit = from; bit < to;) {
    if (bit % 8 === 0 && to - bit >= 8) {
      bitmap[bit >> 3] = 0;
      bit += 8;
    } else {
      bitmap[bit >> 3] = (bitmap[bit >> 3] as number) & ~(1 << (bit % 8));
      bit++;
    }
  }
}

/** Makes each group's bitmap, in ascending order, from ranges in ascending order. */
function makeBlockBitmaps(
  ranges: readonly { readonly start: number; readonly count: number }[],
  { blocks }: { readonly blocks: number },
): (group: number) => { readonly bytes: Uint8Array; readonly used: number } {
  let index = 0;
  return (group) => {
    const begin = group * blocksPerGroup;
    const end = Math.min(blocks, begin + blocksPerGroup);
    const bytes = new Uint8Array(blockSize).fill(0xff);
    let free = begin;
    let used = 0;
    for (;;) {
      const range = ranges[index];
      if (range === undefined || range.start >= end) break;
      const start = Math.max(range.start, begin);
      const stop = Math.min(range.start + range.count, end);
      fillBits(bytes, free - begin, start - begin);
      used += stop - start;
      free = stop;
      if (range.start + range.count > end) break;
      index++;
    }
    fillBits(bytes, free - begin, end - begin);
    return { bytes, used };
  };
}

// The kernel's old encoding where it holds the numbers, else the new one in the second word.
function encodeDevice({ major, minor }: { readonly major: number; readonly minor: number }): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  if (major < 256 && minor < 256) view.setUint32(0, (major << 8) | minor, true);
  else view.setUint32(4, ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0, true);
  return bytes;
}
