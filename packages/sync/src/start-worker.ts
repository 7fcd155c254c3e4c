/**
 * Starts this package's worker threads, from source as well as built.
 * @module
 */
import { Worker } from "node:worker_threads";

/** Starts the worker whose module lies beside this one. */
export function startWorker(
  name:
    | "chunk-worker"
    | "content-digest-worker"
    | "extract-worker"
    | "file-digest-worker"
    | "read-worker"
    | "verify-worker",
  workerData: object | string,
): Worker {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  // Of the program's own flags only those matter that say how packages resolve; some that a thread
  // would inherit keep it from starting (--input-type).
  const execArgv = process.execArgv.filter((argument) => argument.startsWith("--conditions="));
  return new Worker(new URL(`./${name}.${extension}`, import.meta.url), { workerData, execArgv });
}
