/**
 * Runs a verification by threads, this one among them.
 * @module
 */
import { runThreads } from "./run-threads.ts";
import { verifyItems, type VerifyOptions, type VerifyReport } from "./verify-items.ts";
import type { VerifyJob } from "./verify-work.ts";
import type { VerifyWorkerMessage } from "./verify-worker.ts";

/**
 * Checks every item of a job.
 * @throws AbortedError; errors of the machine, such as a file that cannot be read
 */
export async function verifyWithThreads(
  job: VerifyJob,
  onReport: (report: VerifyReport) => void,
  signal?: AbortSignal,
): Promise<void> {
  const counters = new Int32Array(new SharedArrayBuffer(8));
  const workerData: VerifyOptions = { job, counters };
  await runThreads<Exclude<VerifyWorkerMessage, { type: "failed" }>>("verify-worker", {
    workerData,
    counters,
    onMessage: onReport,
    work: () => verifyItems(workerData, onReport),
    signal,
  });
}
