/**
 * What each allocation group holds, and an allocator that hands out what is left, from the front.
 * @module
 */
import { inodeRecords, levelsOf, pointersPerShortNode } from "./btree.ts";
import { chunkBlocks, inodesPerBlock, type Extent, type Run } from "./format.ts";
import { diskBlock, groupLength, type Geometry } from "./geometry.ts";

/** The most blocks that one extent can cover: 21 bits. */
const extentLimit: number = 2 ** 21 - 1;
/** Roots of the B+trees of a group: free space by place and by size, inodes, free inodes, shared blocks. */
const rootBlocks = 5;
/** Blocks that are kept for the free space trees to grow into. */
const freeListBlocks = 4;
/** Of a hundred blocks of a group one stays free: the kernel sets so much aside for its trees before it lets anybody write. */
const spareShare = 100;

/** Blocks in ascending order. */
interface Area {
  readonly start: number;
  readonly end: number;
}

/** What a group holds apart from files; all blocks are counted through all groups. */
export interface GroupPlan {
  readonly start: number;
  readonly length: number;
  /** Up to where files may go; what is behind it stays free. */
  readonly limit: number;
  readonly roots: {
    readonly byPlace: number;
    readonly bySize: number;
    readonly inodes: number;
    readonly freeInodes: number;
    readonly shared: number;
  };
  readonly freeList: readonly number[];
  /** First block of each chunk of inodes. */
  readonly chunks: readonly number[];
  /** Blocks of the inode tree below its root. */
  readonly inodeTree: readonly number[];
}

const alignUp = (value: number, grain: number): number => Math.ceil(value / grain) * grain;

/** Blocks of an inode tree of so many chunks, without its root. */
function inodeTreeBlocks(chunks: number): number {
  const levels = levelsOf(chunks, inodeRecords, pointersPerShortNode, 1);
  return levels.reduce((sum, pages) => sum + pages.length, 0) - 1;
}

/** Hands out space in ascending order. Goes on when there is no more, and counts what is missing. */
export class Space {
  readonly geometry: Geometry;
  readonly groups: readonly GroupPlan[];
  /** First block of the log. */
  readonly log: number = 0;
  /** Blocks that were asked for and are not there. */
  missing = 0;
  readonly #areas: Area[] = [];
  #index = 0;
  #next: number;

  /** @param chunks chunks of inodes, which come first; @param spare keep some blocks of each group free */
  constructor(geometry: Geometry, chunks: number, spare: boolean) {
    this.geometry = geometry;
    const groups: GroupPlan[] = [];
    let remaining = chunks;
    for (let group = 0; group < geometry.groups; group++) {
      const start = group * geometry.groupBlocks;
      const length = groupLength(geometry, group);
      const limit = start + length - (spare ? Math.ceil(length / spareShare) : 0);
      const root = start + geometry.headerBlocks;
      let next = root + rootBlocks;
      if (group === geometry.logGroup) {
        this.log = next;
        next += geometry.logBlocks;
      }
      const list = next;
      const freeList = Array.from({ length: freeListBlocks }, (_, index) => list + index);
      next += freeListBlocks;
      // In the first group this is block 16, where xfs_repair looks for the root directory.
      const first = start + alignUp(next - start, chunkBlocks);
      let here = Math.max(0, Math.min(remaining, Math.floor((limit - first) / chunkBlocks)));
      while (here > 0 && first + here * chunkBlocks + inodeTreeBlocks(here) > limit) here--;
      remaining -= here;
      const tree = first + here * chunkBlocks;
      const inodeTree = Array.from({ length: inodeTreeBlocks(here) }, (_, index) => tree + index);
      groups.push({
        start,
        length,
        limit,
        roots: { byPlace: root, bySize: root + 1, inodes: root + 2, freeInodes: root + 3, shared: root + 4 },
        freeList,
        chunks: Array.from({ length: here }, (_, index) => first + index * chunkBlocks),
        inodeTree,
      });
      const areas = [
        { start: next, end: Math.min(first, limit) },
        { start: tree + inodeTree.length, end: limit },
      ];
      this.#areas.push(...(here === 0 ? [{ start: next, end: limit }] : areas).filter((area) => area.end > area.start));
    }
    this.groups = groups;
    this.missing += remaining * chunkBlocks;
    this.#next = this.#areas[0]?.start ?? 0;
  }

  /** The number on disk of the inode that is so many behind the first. */
  inodeNumber(index: number): number {
    let chunk = Math.floor(index / (chunkBlocks * inodesPerBlock));
    const place = index % (chunkBlocks * inodesPerBlock);
    for (const { chunks } of this.groups) {
      const block = chunks[chunk];
      if (block !== undefined) return diskBlock(this.geometry, block) * inodesPerBlock + place;
      chunk -= chunks.length;
    }
    return 0;
  }

  /** Space for a run of a file, in one piece where it can be. */
  allocate({ logical, count }: Run): Extent[] {
    const extents: Extent[] = [];
    let done = 0;
    while (done < count) {
      const area = this.#areas[this.#index];
      if (area === undefined) {
        this.missing += count - done;
        break;
      }
      const length = Math.min(count - done, area.end - this.#next, extentLimit);
      extents.push({ logical: logical + done, start: this.#next, count: length });
      done += length;
      this.#next += length;
      if (this.#next === area.end) this.#next = this.#areas[++this.#index]?.start ?? 0;
    }
    return extents;
  }

  /** Single blocks, for a tree. */
  blocks(count: number): number[] {
    return this.allocate({ logical: 0, count }).flatMap((extent) =>
      Array.from({ length: extent.count }, (_, index) => extent.start + index),
    );
  }

  /** What is free in a group, in ascending order. */
  free({ start, length, limit }: GroupPlan): Area[] {
    const free = this.#areas
      .map((area, index) => (index === this.#index ? { start: this.#next, end: area.end } : area))
      .filter((area, index) => index >= this.#index && area.start >= start && area.start < limit);
    const end = start + length;
    if (limit === end) return free;
    const last = free.at(-1);
    if (last?.end !== limit) return [...free, { start: limit, end }];
    return [...free.slice(0, -1), { start: last.start, end }];
  }
}
