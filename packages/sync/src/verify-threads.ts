/**
 * Runs the worker threads of a verification.
 * @module
 */
import { runThreads } from "./run-threads.ts";
import type { VerifyJob } from "./verify-work.ts";
import type { VerifyWorkerData, VerifyWorkerMessage } from "./verify-worker.ts";

export type VerifyReport = Extract<VerifyWorkerMessage, { type: "checked" }>;

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
  const workerData: VerifyWorkerData = { job, counters };
  await runThreads<VerifyReport>("verify-worker", { workerData, counters, onMessage: onReport, signal });
}
