/**
 * Worker thread of an extraction from a local store.
 * @module
 */
import { parentPort, workerData } from "node:worker_threads";
import { type ExtractProgress, extractWork, type ExtractWorkOptions } from "./extract-work.ts";
import { packError, type PackedError } from "./packed-error.ts";

export type ExtractWorkerMessage =
  | ({ readonly type: "progress" } & ExtractProgress)
  | { readonly type: "failed"; readonly error: PackedError };

function tell(message: ExtractWorkerMessage): void {
  parentPort?.postMessage(message);
}

try {
  const steps = extractWork(workerData as ExtractWorkOptions, (progress) => tell({ type: "progress", ...progress }));
  while (steps.next().done !== true);
} catch (error) {
  tell({ type: "failed", error: packError(error) });
}
