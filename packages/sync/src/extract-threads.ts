/**
 * Runs the worker threads of an extraction from a local store.
 * @module
 */
import type { ExtractWorkerData, ExtractWorkerMessage } from "./extract-worker.ts";
import { runThreads } from "./run-threads.ts";

export interface ExtractThreadsOptions extends ExtractWorkerData {
  /** Called as chunks are in their places: bytes written, chunks read, bytes read from the store. */
  readonly onProgress: (written: number, chunks: number, bytesFetched: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Puts every chunk that the local store has into its places and marks it in the plan.
 * @throws AbortedError; what the store or the output threw
 */
export async function extractWithThreads(options: ExtractThreadsOptions): Promise<void> {
  const { onProgress, signal, ...workerData } = options;
  await runThreads<Exclude<ExtractWorkerMessage, { type: "failed" }>>("extract-worker", {
    workerData,
    counters: workerData.plan.counters,
    onMessage: ({ written, chunks, bytesFetched }) => onProgress(written, chunks, bytesFetched),
    signal,
  });
}
