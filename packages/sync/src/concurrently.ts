/**
 * Many things under way at once, but not too many.
 * @module
 */
import { throwIfAborted } from "@imgtool/core";

/**
 * Calls `work` for 0 … count − 1 in order, with at most `limit` calls under way. The first failure
 * aborts the signal that the others were given; it is thrown when all have ended.
 */
export async function concurrently(
  count: number,
  limit: number,
  signal: AbortSignal | undefined,
  work: (i: number, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const controller = new AbortController();
  const stop = signal === undefined ? controller.signal : AbortSignal.any([signal, controller.signal]);
  const failures: unknown[] = [];
  let next = 0;
  const run = async (): Promise<void> => {
    try {
      while (next < count && !stop.aborted) await work(next++, stop);
    } catch (error) {
      failures.push(error);
      controller.abort();
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, count) }, run));
  throwIfAborted(signal);
  if (failures.length > 0) throw failures[0];
}

/** Requests that may be under way when chunks have up to `chunkSize` bytes: 32, and 256 MiB in memory. */
export function requestLimit(chunkSize: number): number {
  return Math.max(1, Math.min(32, Math.floor((256 * 1024 ** 2) / chunkSize)));
}
