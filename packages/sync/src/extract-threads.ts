/**
 * Runs an extraction from a local store by threads, this one among them.
 * @module
 */
import { type ExtractProgress, extractWork, type ExtractWorkOptions } from "./extract-work.ts";
import type { ExtractWorkerMessage } from "./extract-worker.ts";
import { runThreads } from "./run-threads.ts";

export interface ExtractThreadsOptions extends ExtractWorkOptions {
  /** Called as chunks are in their places. */
  readonly onProgress: (progress: ExtractProgress) => void;
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
    onMessage: onProgress,
    work: () => extractWork(workerData, onProgress),
    signal,
  });
}
