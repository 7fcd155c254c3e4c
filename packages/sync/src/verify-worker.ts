/**
 * Worker thread of a verification: takes items of the job until there are no more.
 * @module
 */
import { closeSync, openSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { SyncLocalStore } from "@imgtool/store/blocking";
import { packError, type PackedError } from "./packed-error.ts";
import type { Problem } from "./verify-problem.ts";
import { checkFolder, checkInFile, checkStored, jobLength, type VerifyJob } from "./verify-work.ts";

export interface VerifyWorkerData {
  readonly job: VerifyJob;
  /** The next item to be taken; 1 when all are to stop. */
  readonly counters: Int32Array<SharedArrayBuffer>;
}

export type VerifyWorkerMessage =
  | {
      readonly type: "checked";
      readonly items: number;
      readonly chunks: number;
      readonly bytes: number;
      readonly problems: readonly Problem[];
      /** Items that the local store lacks: another store may have them. */
      readonly missing: readonly number[];
    }
  | { readonly type: "failed"; readonly error: PackedError };

/** A report is sent after so many items or problems. */
const reportEvery = 64;

function run({ job, counters }: VerifyWorkerData): void {
  const store = job.kind === "file" ? undefined : new SyncLocalStore(job.store);
  const descriptor = job.kind === "file" ? openSync(job.path, "r") : undefined;
  let [items, chunks, bytes] = [0, 0, 0];
  let problems: Problem[] = [];
  let missing: number[] = [];
  const report = (): void => {
    const message: VerifyWorkerMessage = { type: "checked", items, chunks, bytes, problems, missing };
    parentPort?.postMessage(message);
    [items, chunks, bytes, problems, missing] = [0, 0, 0, [], []];
  };
  try {
    const length = jobLength(job);
    for (;;) {
      const item = Atomics.add(counters, 0, 1);
      if (item >= length || Atomics.load(counters, 1) === 1) break;
      const checked = check(job, store, descriptor, item);
      items++;
      if (checked === "missing") {
        missing.push(item);
      } else {
        chunks += checked.chunks;
        bytes += checked.bytes;
        problems.push(...checked.problems);
      }
      if (items + problems.length >= reportEvery) report();
    }
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
  report();
}

function check(
  job: VerifyJob,
  store: SyncLocalStore | undefined,
  descriptor: number | undefined,
  item: number,
): ReturnType<typeof checkStored> {
  if (job.kind === "file") return checkInFile(job, descriptor ?? -1, item);
  const opened = store ?? new SyncLocalStore(job.store);
  return job.kind === "chunks" ? checkStored(job, opened, item) : checkFolder(job, opened, item);
}

try {
  run(workerData as VerifyWorkerData);
} catch (error) {
  const message: VerifyWorkerMessage = { type: "failed", error: packError(error) };
  parentPort?.postMessage(message);
}
