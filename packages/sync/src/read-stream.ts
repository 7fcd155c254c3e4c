/**
 * The stream that an index describes, in order: for archives, for standard output, for pipes.
 * @module
 */
import { throwIfAborted } from "@imgtool/core";
import { readWithThreads, worthThreads } from "./read-threads.ts";
import type { ChunkSource } from "./chunk-source.ts";
import { requestLimit } from "./concurrently.ts";

export interface ReadStreamOptions {
  /** Chunks fetched ahead. Default 32, fewer when chunks are very large. */
  readonly requests?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** First chunk, and the chunk to end before. Default: all. */
  readonly from?: number | undefined;
  readonly to?: number | undefined;
  /** Whether what is yielded need only hold until the next step: it is not copied then. Default false. */
  readonly borrow?: boolean | undefined;
}

/**
 * Yields the chunks of the source's index in order, verified; the next ones are fetched meanwhile.
 * @throws as ChunkSource.get(); AbortedError
 */
export async function* readStream(source: ChunkSource, options: ReadStreamOptions = {}): AsyncGenerator<Uint8Array> {
  const { signal, from = 0, to = source.index.count, borrow = false } = options;
  const chunks = { count: to - from, at: (position: number) => from + position };
  if (worthThreads(source, chunks)) {
    for await (const bytes of readWithThreads(source, { chunks, requests: options.requests, signal }))
      yield borrow ? bytes : new Uint8Array(bytes);
    return;
  }
  const limit = options.requests ?? requestLimit(source.index.sizes.max);
  const controller = new AbortController();
  const stop = signal === undefined ? controller.signal : AbortSignal.any([signal, controller.signal]);
  const ahead: Promise<Uint8Array>[] = [];
  let next = from;
  try {
    while (next < to || ahead.length > 0) {
      while (next < to && ahead.length < limit) {
        const chunk = source.get(next++, stop);
        // An error is thrown when it is its chunk's turn; until then it is not unhandled.
        chunk.catch(() => {});
        ahead.push(chunk);
      }
      const bytes = await ahead.shift();
      throwIfAborted(signal);
      if (bytes !== undefined) yield bytes;
    }
  } finally {
    controller.abort();
    await Promise.allSettled(ahead);
  }
}
