/**
 * Where things lie: groups, backups, bitmaps and inode tables, and an allocator that hands out blocks
 * from the front. With flex_bg all bitmaps and tables stand together at the front, so that data is
 * contiguous but for the backups of the superblock.
 * @module
 */
import { blocksPerGroup, blockSize, descriptorSize, inodesPerTableBlock, type Extent } from "./format.ts";

/** The most blocks one extent can cover when it is initialized. */
const extentLimit = 32_768;

/** Whether a group begins with a copy of the superblock: 0, 1 and the powers of 3, 5 and 7 (sparse_super). */
export function hasSuperblock(group: number): boolean {
  if (group <= 1) return true;
  for (const base of [3, 5, 7]) {
    let power = base;
    while (power < group) power *= base;
    if (power === group) return true;
  }
  return false;
}

export interface Geometry {
  /** Blocks of the file system. */
  readonly blocks: number;
  readonly groups: number;
  /** Blocks of the group descriptor table. */
  readonly descriptorBlocks: number;
  readonly inodesPerGroup: number;
  readonly inodeTableBlocks: number;
}

/** The geometry of so many blocks with at least so many inodes, the reserved ones among them. */
export function makeGeometry(blocks: number, inodes: number): Geometry {
  const groups = Math.ceil(blocks / blocksPerGroup);
  const perGroup = Math.ceil(inodes / groups);
  const inodeTableBlocks = Math.max(1, Math.ceil(perGroup / inodesPerTableBlock));
  return {
    blocks,
    groups,
    descriptorBlocks: Math.ceil((groups * descriptorSize) / blockSize),
    inodesPerGroup: inodeTableBlocks * inodesPerTableBlock,
    inodeTableBlocks,
  };
}

/** Blocks that a group's copy of superblock and descriptors takes. */
function backupBlocks(geometry: Geometry, group: number): number {
  return hasSuperblock(group) ? 1 + geometry.descriptorBlocks : 0;
}

export interface Range {
  readonly start: number;
  readonly count: number;
}

/** Hands out blocks in ascending order; goes on past the end, so that a first pass can measure. */
export class BlockAllocator {
  readonly #geometry: Geometry;
  #next = 0;
  #used: { start: number; count: number }[] = [];

  constructor(geometry: Geometry) {
    this.#geometry = geometry;
  }

  /** Blocks up to and with the last one handed out. */
  get highWater(): number {
    return this.#next;
  }

  /** What is in use, ascending, backups of the superblock included up to the end of the file system. */
  usedRanges(): Range[] {
    const all = [...this.#used];
    for (let group = 0; group < this.#geometry.groups; group++) {
      const start = group * blocksPerGroup;
      const count = backupBlocks(this.#geometry, group);
      if (count > 0) all.push({ start, count });
    }
    return all.sort((a, b) => a.start - b.start);
  }

  /** Steps over backups; how many blocks follow until the next one. */
  #room(): number {
    const group = Math.floor(this.#next / blocksPerGroup);
    const within = this.#next - group * blocksPerGroup;
    const backup = backupBlocks(this.#geometry, group);
    if (within < backup) this.#next += backup - within;
    let next = group + 1;
    // Only the distance up to an extent's limit matters.
    while (!hasSuperblock(next) && next * blocksPerGroup - this.#next < extentLimit) next++;
    return next * blocksPerGroup - this.#next;
  }

  #take(count: number): number {
    const start = this.#next;
    this.#next += count;
    const last = this.#used.at(-1);
    if (last !== undefined && last.start + last.count === start) last.count += count;
    else this.#used.push({ start, count });
    return start;
  }

  /** Blocks in as few extents as can be, `logical` being the file's block they begin at. */
  allocate(count: number, logical = 0): Extent[] {
    const extents: Extent[] = [];
    let left = count;
    let at = logical;
    while (left > 0) {
      const run = Math.min(left, this.#room(), extentLimit);
      extents.push({ logical: at, start: this.#take(run), count: run });
      at += run;
      left -= run;
    }
    return extents;
  }

  /** Blocks in one run, at most a group's worth; blocks before a backup may stay unused. */
  contiguous(count: number): number {
    if (this.#room() < count) {
      this.#next += this.#room();
      this.#room();
    }
    return this.#take(count);
  }
}
