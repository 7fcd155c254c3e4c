/**
 * Finds what an output has in its place already: a device of which only a part changes, a file that a
 * former run began, blocks that are shared with a seed. All of it is digested; nothing is believed.
 * @module
 */
import { ftruncateSync } from "node:fs";
import type { ChunkIndex } from "@imgtool/chunker";
import { systemErrorCode, throwIfAborted } from "@imgtool/core";
import { dataRanges, punchHole } from "@imgtool/host";
import type { BlobOutput } from "./blob-output.ts";
import { type ExtractPlan, markDone } from "./extract-plan.ts";
import { checkInFile, type VerifyJob } from "./verify-work.ts";
import { verifyWithThreads } from "./verify-threads.ts";

/** Up to so many bytes are digested without threads: starting them takes as long. */
const shortCheck = 8 * 1024 ** 2;

export interface InPlaceOptions {
  readonly index: ChunkIndex;
  readonly plan: ExtractPlan;
  readonly output: BlobOutput;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Digests chunks where they would be in the output, and marks those in the plan that are there.
 * @param chunks positions in the index, in any order. Default: all
 * @returns positions of those that are not there
 */
export async function findInPlace(options: InPlaceOptions, chunks?: readonly number[]): Promise<readonly number[]> {
  const { index, plan, output, signal } = options;
  const positions = shared(chunks ?? Array.from({ length: index.count }, (_, i) => i));
  const job = { kind: "file", plan, digest: index.digest, path: output.path, chunks: positions } as const;
  const bad = new Set<number>();
  if (positions.reduce((sum, i) => sum + index.size(i), 0) <= shortCheck) {
    checkHere(job, output.descriptor, bad, signal);
  } else {
    await verifyWithThreads(job, ({ problems }) => problems.forEach((one) => bad.add(one.position ?? -1)), signal);
  }
  for (const i of positions) if (!bad.has(i)) plan.inPlace[i] = 1;
  markDone(plan);
  return [...bad];
}

function checkHere(
  job: Extract<VerifyJob, { kind: "file" }>,
  descriptor: number,
  bad: Set<number>,
  signal: AbortSignal | undefined,
): void {
  for (let item = 0; item < (job.chunks?.length ?? 0); item++) {
    throwIfAborted(signal);
    for (const { position } of checkInFile(job, descriptor, item).problems) bad.add(position ?? -1);
  }
}

function shared(numbers: readonly number[]): Int32Array<SharedArrayBuffer> {
  const array = new Int32Array(new SharedArrayBuffer(numbers.length * 4));
  array.set(numbers);
  return array;
}

/**
 * Takes over what a former run has left in a sparse file: chunks that are whole stay, all else becomes a
 * hole again.
 */
export async function resumeFile(options: InPlaceOptions): Promise<void> {
  const { index, output, plan } = options;
  const chunks: number[] = [];
  for (const [from, to] of dataRanges(output.descriptor, index.totalSize)) {
    const last = index.find(to - 1);
    for (let i = Math.max(index.find(from), (chunks.at(-1) ?? -1) + 1); i <= last; i++) chunks.push(i);
  }
  const bad = await findInPlace(options, chunks);
  try {
    clear(options, bad);
  } catch (error) {
    if (systemErrorCode(error) !== "EOPNOTSUPP" && systemErrorCode(error) !== "ENOTSUP") throw error;
    ftruncateSync(output.descriptor, 0);
    ftruncateSync(output.descriptor, index.totalSize);
    plan.inPlace.fill(0);
    plan.done.fill(0);
  }
}

/** Makes holes of chunks. @throws SystemCallError EOPNOTSUPP where the file system has none */
export function clear({ index, output }: InPlaceOptions, chunks: readonly number[]): void {
  for (const i of chunks) punchHole(output.descriptor, index.start(i), index.size(i));
}
