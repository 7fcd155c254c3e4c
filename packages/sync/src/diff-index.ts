/**
 * What two indexes have in common, chunk by chunk.
 * @module
 */
import { type ChunkIndex, IdTable } from "@imgtool/chunker";

export interface ByteRange {
  /** First byte, and the byte behind the last. */
  readonly start: number;
  readonly end: number;
}

export interface IndexDifference {
  /** Different chunks that both have, that only the next has, that only the previous has; and their plain bytes. */
  readonly shared: number;
  readonly sharedBytes: number;
  readonly added: number;
  readonly addedBytes: number;
  readonly removed: number;
  readonly removedBytes: number;
  /** Bytes of the next stream that lie in chunks which the previous has not; more than `addedBytes` when they occur twice. */
  readonly changedBytes: number;
  /** Whether the two can have chunks in common: equal digests, and cut with equal sizes. */
  readonly comparable: boolean;
}

function idsOf(index: ChunkIndex): IdTable {
  const table = new IdTable(index.count);
  for (let i = 0; i < index.count; i++) table.add(index.id(i));
  return table;
}

/** Compares the chunks of two indexes. Chunks that have only moved are shared. */
export function diffIndexes(previous: ChunkIndex, next: ChunkIndex): IndexDifference {
  const comparable = previous.digest === next.digest;
  const before = idsOf(previous);
  const [inNext, inPrevious] = [new IdTable(next.count), new IdTable(previous.count)];
  let [shared, sharedBytes, added, addedBytes, removed, removedBytes, changedBytes] = [0, 0, 0, 0, 0, 0, 0];
  for (let i = 0; i < next.count; i++) {
    const isShared = comparable && before.find(next.id(i)) >= 0;
    const size = next.size(i);
    if (!isShared) changedBytes += size;
    const known = inNext.count;
    if (inNext.add(next.id(i)) !== known) continue;
    if (isShared) [shared, sharedBytes] = [shared + 1, sharedBytes + size];
    else [added, addedBytes] = [added + 1, addedBytes + size];
  }
  for (let i = 0; i < previous.count; i++) {
    const known = inPrevious.count;
    if (inPrevious.add(previous.id(i)) !== known) continue;
    if (comparable && inNext.find(previous.id(i)) >= 0) continue;
    [removed, removedBytes] = [removed + 1, removedBytes + previous.size(i)];
  }
  const { min, avg, max } = previous.sizes;
  const sameSizes = min === next.sizes.min && avg === next.sizes.avg && max === next.sizes.max;
  return {
    shared,
    sharedBytes,
    added,
    addedBytes,
    removed,
    removedBytes,
    changedBytes,
    comparable: comparable && sameSizes,
  };
}

/** Yields the ranges of the next stream whose chunks the previous has not; ranges that touch are one. */
export function* changedRanges(previous: ChunkIndex, next: ChunkIndex): Generator<ByteRange, void> {
  const before = previous.digest === next.digest ? idsOf(previous) : new IdTable(1);
  let start = -1;
  for (let i = 0; i < next.count; i++) {
    if (before.find(next.id(i)) < 0) {
      if (start < 0) start = next.start(i);
    } else if (start >= 0) {
      yield { start, end: next.start(i) };
      start = -1;
    }
  }
  if (start >= 0) yield { start, end: next.totalSize };
}
