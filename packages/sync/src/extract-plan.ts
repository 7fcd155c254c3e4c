/**
 * What an extraction has to do, in memory that threads share: each different chunk once, and every
 * place it goes to.
 * @module
 */
import { type ChunkIndex, IdTable } from "@imgtool/chunker";

export interface ExtractPlan {
  /** The first chunk with each id, in the stream's order. */
  readonly firsts: Int32Array<SharedArrayBuffer>;
  /** For each chunk the next one with its id, or −1. */
  readonly next: Int32Array<SharedArrayBuffer>;
  /** Where each chunk ends in the stream, in bytes. */
  readonly ends: Float64Array<SharedArrayBuffer>;
  /** Id of each chunk, 32 bytes. */
  readonly ids: Uint8Array<SharedArrayBuffer>;
  /** For each of `firsts`, 1 when it is in its places. */
  readonly done: Uint8Array<SharedArrayBuffer>;
  /** For each chunk, 1 when the output has had it in its place before: it is not written again. */
  readonly inPlace: Uint8Array<SharedArrayBuffer>;
  /** The next of `firsts` to be taken; 1 when all are to stop. */
  readonly counters: Int32Array<SharedArrayBuffer>;
}

/** The plan for an index. */
export function planExtraction(index: ChunkIndex): ExtractPlan {
  const table = new IdTable(index.count);
  const firsts = new Int32Array(new SharedArrayBuffer(index.count * 4));
  const next = new Int32Array(new SharedArrayBuffer(index.count * 4)).fill(-1);
  const ends = new Float64Array(new SharedArrayBuffer(index.count * 8));
  const ids = new Uint8Array(new SharedArrayBuffer(index.count * 32));
  const last = new Int32Array(index.count);
  for (let i = 0; i < index.count; i++) {
    const known = table.count;
    const position = table.add(index.id(i));
    if (position === known) firsts[position] = i;
    else next[last[position] ?? 0] = i;
    last[position] = i;
    ends[i] = index.end(i);
    ids.set(index.id(i), i * 32);
  }
  return {
    firsts: firsts.subarray(0, table.count),
    next,
    ends,
    ids,
    done: new Uint8Array(new SharedArrayBuffer(table.count)),
    inPlace: new Uint8Array(new SharedArrayBuffer(index.count)),
    counters: new Int32Array(new SharedArrayBuffer(8)),
  };
}

/** The places of one of `firsts`, as the positions of its chunks in the stream. */
export function* placesOf({ firsts, next }: ExtractPlan, position: number): Generator<number, void> {
  for (let i = firsts[position] ?? -1; i >= 0; i = next[i] ?? -1) yield i;
}

/** Marks as done what is in all its places. */
export function markDone(plan: ExtractPlan): void {
  for (let position = 0; position < plan.firsts.length; position++) {
    const isMissing = placesOf(plan, position).some((i) => plan.inPlace[i] !== 1);
    if (!isMissing) plan.done[position] = 1;
  }
}
