/**
 * How large the parts are: allocation groups and the log. Blocks are counted through all groups here; on
 * disk a block's number is its group's, shifted, and its place in there.
 * @module
 */
import { blockSize } from "./format.ts";

/** Groups of a file system of less than 4 TiB, as mkfs.xfs makes it. xfs_repair wants two at least. */
const usualGroups = 4;
const largestGroup: number = 2 ** 40 / blockSize - 1;
/** The log has a 2048th of the file system, 64 MiB at least and 10 MiB less than 2 GiB at most, as of mkfs.xfs 6.1. */
const smallestLog: number = (64 * 1024 ** 2) / blockSize;
const largestLog: number = (2 ** 31 - 10 * 1024 ** 2) / blockSize;
const logShare = 2048;

export interface Geometry {
  readonly blocks: number;
  readonly sectorSize: number;
  readonly groups: number;
  readonly groupBlocks: number;
  /** Bits that a place in a group takes. */
  readonly groupLog: number;
  readonly logBlocks: number;
  readonly logGroup: number;
  /** Blocks that the four header sectors of a group take. */
  readonly headerBlocks: number;
}

export function makeGeometry(blocks: number, sectorSize: number): Geometry {
  const groups = Math.max(usualGroups, Math.ceil(blocks / largestGroup));
  const groupBlocks = Math.ceil(blocks / groups);
  return {
    blocks,
    sectorSize,
    groups,
    groupBlocks,
    groupLog: 32 - Math.clz32(groupBlocks - 1),
    logBlocks: Math.min(largestLog, Math.max(smallestLog, Math.ceil(blocks / logShare))),
    logGroup: Math.floor(groups / 2),
    headerBlocks: Math.ceil((4 * sectorSize) / blockSize),
  };
}

/** Blocks of a group: the last may have less. */
export function groupLength({ blocks, groupBlocks }: Geometry, group: number): number {
  return Math.min(groupBlocks, blocks - group * groupBlocks);
}

/** The number that a block has on disk. */
export function diskBlock({ groupBlocks, groupLog }: Geometry, block: number): number {
  return Math.floor(block / groupBlocks) * 2 ** groupLog + (block % groupBlocks);
}
