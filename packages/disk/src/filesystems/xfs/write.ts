/**
 * Writes a planned XFS: the inodes and the content of files, then the headers and trees of the groups.
 * @module
 */
import { setImmediate } from "node:timers/promises";
import { parseUuid, throwIfAborted } from "@imgtool/core";
import type { BlockWriter } from "../../sparse-file.ts";
import type { TreeNode } from "../../tree/node.ts";
import { copyExtents } from "../data-runs.ts";
import type { FilesystemOptions } from "../filesystem.ts";
import { encodeExtents, encodeShortTree, type PlacedBlock } from "./btree.ts";
import { encodeDirectory, encodeShortDirectory, type Numbers } from "./directory.ts";
import { blockSize, forkRoom, inodeSize, inodesPerBlock, inodesPerChunk } from "./format.ts";
import { seal, setAddress, setU64, viewOf, type Extent, type Identity } from "./format.ts";
import { encodeGroupHeaders, encodeLog, encodeSuperblock } from "./headers.ts";
import {
  dataRoom,
  encodeFreeInode,
  encodeInode,
  encodeRealTimeInode,
  fieldsOf,
  forkFormats,
  type Fork,
} from "./inode.ts";
import type { PlannedInode, XfsPlan } from "./plan.ts";
import type { GroupPlan } from "./space.ts";
import { encodeXattrs } from "./xattrs.ts";

const symlinkHeader = 56;

/** Where a block of a file is. */
function locate(extents: readonly Extent[], logical: number): number {
  const extent = extents.find((one) => logical >= one.logical && logical < one.logical + one.count);
  if (extent === undefined) throw new RangeError(`block ${logical} of a file has no place`);
  return extent.start + logical - extent.logical;
}

const countBlocks = (extents: readonly Extent[]): number => extents.reduce((sum, { count }) => sum + count, 0);

export class XfsWriter {
  readonly #plan: XfsPlan;
  readonly #options: FilesystemOptions;
  readonly #target: BlockWriter;
  readonly #uuid: Uint8Array;
  readonly #parents = new Map<TreeNode, number>();

  constructor(plan: XfsPlan, options: FilesystemOptions, target: BlockWriter) {
    this.#plan = plan;
    this.#options = options;
    this.#target = target;
    this.#uuid = parseUuid(options.uuid);
    for (const { node, number } of plan.inodes)
      for (const child of node.children) if (child.node.kind === "directory") this.#parents.set(child.node, number);
  }

  async write(): Promise<void> {
    this.#writeGroups();
    const { geometry, log } = this.#plan.space;
    this.#target.write(log * blockSize, encodeLog(geometry, this.#uuid));
    this.#writeInodes();
    for (const [index, inode] of this.#plan.inodes.entries()) {
      if (index % 256 === 0) {
        throwIfAborted(this.#options.signal);
        await setImmediate();
      }
      this.#writeContent(inode);
    }
  }

  #put({ block, bytes }: PlacedBlock): void {
    this.#target.write(block * blockSize, bytes);
  }

  #numbers({ node, number }: PlannedInode): Numbers {
    const { numbers } = this.#plan;
    return { self: number, parent: this.#parents.get(node) ?? number, of: (child) => numbers.get(child) ?? 0 };
  }

  #identify(owner: number, extents: readonly Extent[]): (logical: number) => Identity {
    return (logical) => ({ uuid: this.#uuid, owner, block: locate(extents, logical) });
  }

  #writeContent(inode: PlannedInode): void {
    const { node, number, extents, directory, xattrs, attributeExtents } = inode;
    const identify = this.#identify(number, extents);
    if (directory !== undefined) {
      for (const { logical, bytes } of encodeDirectory(directory, this.#numbers(inode), identify))
        this.#put({ block: locate(extents, logical), bytes });
    } else if (node.target !== undefined && extents.length > 0)
      this.#put({ block: locate(extents, 0), bytes: encodeSymlink(node.target, identify(0)) });
    else if (node.source !== undefined && extents.length > 0)
      copyExtents(node.source, node.size, extents, blockSize, this.#target);
    for (const page of this.#encodeData(inode).pages) this.#put(page);
    if (xattrs === undefined) return;
    for (const { logical, bytes } of encodeXattrs(xattrs, this.#identify(number, attributeExtents)))
      this.#put({ block: locate(attributeExtents, logical), bytes });
  }

  /** The data fork, and the blocks of its tree. */
  #encodeData(inode: PlannedInode): { readonly fork: Fork; readonly pages: readonly PlacedBlock[] } {
    const { node, number, directory, local, extents, tree, attributesAt } = inode;
    if (local && directory !== undefined) {
      const bytes = encodeShortDirectory(directory, this.#numbers(inode));
      return { fork: { format: forkFormats.local, bytes, extents: 0 }, pages: [] };
    }
    if (local && node.target !== undefined)
      return { fork: { format: forkFormats.local, bytes: node.target, extents: 0 }, pages: [] };
    if (node.kind !== "directory" && node.kind !== "file" && node.kind !== "symlink")
      return { fork: { format: forkFormats.device, bytes: encodeDevice(node.device), extents: 0 }, pages: [] };
    const { geometry } = this.#plan.space;
    const { root, pages } = encodeExtents(extents, tree, dataRoom(attributesAt), number, geometry, this.#uuid);
    const format = tree.length === 0 ? forkFormats.extents : forkFormats.tree;
    return { fork: { format, bytes: root, extents: extents.length }, pages };
  }

  #encodeAttributes({ number, xattrs, attributesAt, attributeExtents }: PlannedInode): Fork | undefined {
    if (xattrs === undefined) return undefined;
    if (xattrs.inline !== undefined) return { format: forkFormats.local, bytes: xattrs.inline, extents: 0 };
    const { geometry } = this.#plan.space;
    const { root } = encodeExtents(attributeExtents, [], forkRoom - attributesAt, number, geometry, this.#uuid);
    return { format: forkFormats.extents, bytes: root, extents: attributeExtents.length };
  }

  #encodeInode(inode: PlannedInode): Uint8Array {
    const { node, number, directory, extents, tree, attributeExtents, attributesAt } = inode;
    const directories = node.children.filter((child) => child.node.kind === "directory").length;
    return encodeInode(
      {
        ...fieldsOf(node),
        number,
        links: node.kind === "directory" ? 2 + directories : node.links,
        size: directory?.size ?? node.target?.length ?? node.size,
        blocks: countBlocks(extents) + tree.length + countBlocks(attributeExtents),
        flags: 0,
        data: this.#encodeData(inode).fork,
        attributes: this.#encodeAttributes(inode),
        attributesAt,
      },
      this.#uuid,
    );
  }

  #writeInodes(): void {
    const { space, inodes } = this.#plan;
    const [root, ...others] = inodes;
    const seconds = this.#options.sourceDateEpoch ?? 0;
    let index = 0;
    for (const { chunks } of space.groups)
      for (const chunk of chunks) {
        for (let place = 0; place < inodesPerChunk; place++, index++) {
          const number = space.inodeNumber(index);
          let bytes: Uint8Array;
          const inode = index === 0 ? root : others[index - 3];
          if (index === 1 || index === 2) bytes = encodeRealTimeInode(number, seconds, index === 1, this.#uuid);
          else if (inode === undefined) bytes = encodeFreeInode(number, this.#uuid);
          else bytes = this.#encodeInode(inode);
          this.#target.write(chunk * blockSize + place * inodeSize, bytes);
        }
      }
  }

  #writeGroups(): void {
    const { space, inodes } = this.#plan;
    const { geometry } = space;
    const { sectorSize } = geometry;
    const chunks = space.groups.reduce((sum, group) => sum + group.chunks.length, 0);
    const freeInodes = chunks * inodesPerChunk - inodes.length - 2;
    const groups = space.groups.map((group) => ({ group, free: space.free(group) }));
    let remaining = chunks;
    let freeBlocks = 0;
    for (const [index, { group, free }] of groups.entries()) {
      remaining -= group.chunks.length;
      // Only the last chunk of all is not full.
      const freeHere = group.chunks.length > 0 && remaining === 0 ? freeInodes : 0;
      const sizes = free.map(({ start, end }) => end - start);
      const freeInGroup = sizes.reduce((sum, size) => sum + size, 0);
      freeBlocks += freeInGroup + group.freeList.length;
      const inodeTree = this.#writeTrees(index, group, free, freeHere);
      const inGroup = (block: number): number => block - group.start;
      const newest = group.chunks.at(-1);
      const headers = encodeGroupHeaders(
        {
          group: index,
          length: group.length,
          roots: {
            byPlace: inGroup(group.roots.byPlace),
            bySize: inGroup(group.roots.bySize),
            inodes: inGroup(group.roots.inodes),
            freeInodes: inGroup(group.roots.freeInodes),
            shared: inGroup(group.roots.shared),
          },
          freeList: group.freeList.map(inGroup),
          freeBlocks: freeInGroup,
          longestFree: Math.max(0, ...sizes),
          inodes: group.chunks.length * inodesPerChunk,
          freeInodes: freeHere,
          newestChunk: newest === undefined ? undefined : inGroup(newest) * inodesPerBlock,
          inodeTree,
        },
        sectorSize,
        this.#uuid,
      );
      for (const [place, bytes] of headers.entries())
        this.#target.write(group.start * blockSize + (place + 1) * sectorSize, bytes);
    }
    const superblock = encodeSuperblock({
      geometry,
      uuid: this.#uuid,
      label: this.#options.label ?? "",
      log: space.log,
      rootInode: space.inodeNumber(0),
      inodes: chunks * inodesPerChunk,
      freeInodes,
      freeBlocks,
      attributes: inodes.some(({ xattrs }) => xattrs !== undefined),
    });
    for (const { start } of space.groups) this.#target.write(start * blockSize, superblock);
  }

  /** The five trees of a group; says how high and how large that of inodes is. */
  #writeTrees(
    index: number,
    group: GroupPlan,
    free: readonly { readonly start: number; readonly end: number }[],
    freeInodes: number,
  ): { readonly height: number; readonly blocks: number } {
    const { geometry } = this.#plan.space;
    const tree = (magic: string, root: number, records: readonly Uint8Array[], blocks: readonly number[] = []) => {
      const { pages, height } = encodeShortTree({ magic, records, blocks, root, group: index }, geometry, this.#uuid);
      for (const page of pages) this.#put(page);
      return { height, blocks: pages.length };
    };
    const area = ({ start, end }: { readonly start: number; readonly end: number }): Uint8Array =>
      pair(start - group.start, end - start);
    const bySize = free.toSorted((a, b) => a.end - a.start - (b.end - b.start) || a.start - b.start);
    tree("AB3B", group.roots.byPlace, free.map(area));
    tree("AB3C", group.roots.bySize, bySize.map(area));
    const records = group.chunks.map((chunk, at) => {
      const unused = at === group.chunks.length - 1 ? freeInodes : 0;
      return encodeChunk((chunk - group.start) * inodesPerBlock, unused);
    });
    tree("FIB3", group.roots.freeInodes, freeInodes > 0 ? records.slice(-1) : []);
    tree("R3FC", group.roots.shared, []);
    return tree("IAB3", group.roots.inodes, records, group.inodeTree);
  }
}

function pair(first: number, second: number): Uint8Array {
  const bytes = new Uint8Array(8);
  viewOf(bytes).setUint32(0, first);
  viewOf(bytes).setUint32(4, second);
  return bytes;
}

/** The record of a chunk of inodes whose last ones are free. */
function encodeChunk(first: number, free: number): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = viewOf(bytes);
  view.setUint32(0, first);
  view.setUint8(6, inodesPerChunk);
  view.setUint8(7, free);
  view.setBigUint64(8, BigInt.asUintN(64, ((1n << BigInt(free)) - 1n) << BigInt(inodesPerChunk - free)));
  return bytes;
}

/** A device's numbers, as System V packs them. */
function encodeDevice(device: TreeNode["device"]): Uint8Array {
  const bytes = new Uint8Array(4);
  if (device !== undefined) viewOf(bytes).setUint32(0, device.major * 2 ** 18 + device.minor);
  return bytes;
}

function encodeSymlink(target: Uint8Array, { uuid, owner, block }: Identity): Uint8Array {
  const bytes = new Uint8Array(blockSize);
  const view = viewOf(bytes);
  view.setUint32(0, 0x5853_4c4d);
  view.setUint32(8, target.length);
  bytes.set(uuid, 16);
  setU64(view, 32, owner);
  setAddress(view, 40, block);
  bytes.set(target, symlinkHeader);
  return seal(bytes, 12);
}
