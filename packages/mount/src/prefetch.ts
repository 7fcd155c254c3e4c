/**
 * Fetches what nobody has asked for yet, so that later reads find it here.
 * @module
 */
import type { ChunkIndex } from "@imgtool/chunker";
import { AbortedError, throwIfAborted } from "@imgtool/core";
import type { CachedStore } from "@imgtool/store";
import { setTimeout as sleep } from "node:timers/promises";

export interface PrefetchOptions {
  readonly index: ChunkIndex;
  /** Where chunks are fetched from, and kept. */
  readonly store: CachedStore;
  /** Whether somebody waits for a chunk just now: he goes first. */
  readonly isBusy: () => boolean;
  readonly signal: AbortSignal;
}

/** Chunks that are fetched at once, and milliseconds between two looks at whether somebody waits. */
const [atOnce, lookAgain] = [4, 20];

/**
 * Goes through the image in order until all of it is kept, or what may be kept is full.
 * @returns chunks that were fetched
 * @throws what the store throws; AbortedError
 */
export async function prefetch({ index, store, isBusy, signal }: PrefetchOptions): Promise<number> {
  let [next, fetched] = [0, 0];
  const work = async (): Promise<void> => {
    while (next < index.count) {
      throwIfAborted(signal);
      const i = next++;
      const name = index.name(i);
      if (store.keeps(name)) continue;
      if (store.free < index.sizes.max) return;
      while (isBusy()) await pause(signal);
      if ((await store.get(name, signal)) !== undefined) fetched++;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return fetched;
}

async function pause(signal: AbortSignal): Promise<void> {
  try {
    await sleep(lookAgain, undefined, { signal });
  } catch (cause) {
    throw new AbortedError("interrupted", { cause });
  }
}
