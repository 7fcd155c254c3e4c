/**
 * What the threads of a verification do: they take items of the job until there are no more.
 * @module
 */
import { closeSync, openSync } from "node:fs";
import { openSyncStore, StoreCipher, SyncLocalStore } from "@imgtool/store/blocking";
import type { Problem } from "./verify-problem.ts";
import { checkFolder, checkInFile, checkStored, jobLength, type VerifyJob } from "./verify-work.ts";

export interface VerifyOptions {
  readonly job: VerifyJob;
  /** The next item to be taken; 1 when all are to stop. */
  readonly counters: Int32Array<SharedArrayBuffer>;
}

/** What has been found since the last report. */
export interface VerifyReport {
  readonly items: number;
  readonly chunks: number;
  readonly bytes: number;
  readonly problems: readonly Problem[];
  /** Items that the local store lacks: another store may have them. */
  readonly missing: readonly number[];
}

/** A report is made after so many items or problems. */
const reportEvery = 64;

/** Checks an item at each step. @throws errors of the machine, such as a file that cannot be read */
export function* verifyItems(
  { job, counters }: VerifyOptions,
  onReport: (report: VerifyReport) => void,
): Generator<void, void> {
  const descriptor = job.kind === "file" ? openSync(job.path, "r") : undefined;
  const check = checkerOf(job, descriptor);
  let [items, chunks, bytes] = [0, 0, 0];
  let problems: Problem[] = [];
  let missing: number[] = [];
  const report = (): void => {
    onReport({ items, chunks, bytes, problems, missing });
    [items, chunks, bytes, problems, missing] = [0, 0, 0, [], []];
  };
  try {
    const length = jobLength(job);
    for (;;) {
      const item = Atomics.add(counters, 0, 1);
      if (item >= length || Atomics.load(counters, 1) === 1) break;
      const checked = check(item);
      items++;
      if (checked === "missing") {
        missing.push(item);
      } else {
        chunks += checked.chunks;
        bytes += checked.bytes;
        problems.push(...checked.problems);
      }
      if (items + problems.length >= reportEvery) report();
      yield;
    }
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
  report();
}

function checkerOf(job: VerifyJob, descriptor: number | undefined): (item: number) => ReturnType<typeof checkStored> {
  if (job.kind === "file") return (item) => checkInFile(job, descriptor ?? -1, item);
  if (job.kind === "chunks") {
    const store = openSyncStore(job.store);
    return (item) => checkStored(job, store, item);
  }
  const { directory, key } = job.store;
  const store = new SyncLocalStore(directory);
  const cipher = key === undefined ? undefined : new StoreCipher(key);
  return (item) => checkFolder(job, store, cipher, item);
}
