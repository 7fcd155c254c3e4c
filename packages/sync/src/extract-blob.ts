/**
 * Restores a blob from its index: every chunk verified, many under way, nothing under the final name
 * before it is whole. A run that was killed is gone on with.
 * @module
 */
import { truncateSync } from "node:fs";
import { stat } from "node:fs/promises";
import { ConfigError, type Progress, silentProgress, systemErrorCode, type Task } from "@imgtool/core";
import { type ChunkIndex, IdTable } from "@imgtool/chunker";
import { openLocalStore, type ReadStore } from "@imgtool/store";
import { BlobOutput } from "./blob-output.ts";
import { ChunkPlacer } from "./chunk-placer.ts";
import { ChunkSource, type ChunkSourceCounts } from "./chunk-source.ts";
import { concurrently, requestLimit } from "./concurrently.ts";
import { type ExtractPlan, placesOf, planExtraction } from "./extract-plan.ts";
import { extractWithThreads } from "./extract-threads.ts";
import type { ExtractProgress } from "./extract-work.ts";
import { lazyBlobSeed } from "./file-seed.ts";
import { findInPlace, type InPlaceOptions, resumeFile } from "./in-place.ts";
import { makeResumably, type PartialOutput } from "./partial-output.ts";
import { readWithThreads, worthThreads } from "./read-threads.ts";
import type { Seed } from "./seed.ts";
import { canShare, shareRepeats, shareWithSeed } from "./share-blocks.ts";

/** Blobs up to this length are restored without threads: starting them takes as long. */
const shortBlob: number = 8 * 1024 ** 2;

export interface ExtractBlobOptions {
  readonly index: ChunkIndex;
  /**
   * Asked in this order: paths of local stores, or open stores. When the first is local, worker threads
   * read from it what no seed has.
   */
  readonly stores: readonly (string | ReadStore)[];
  /** Asked before the stores, in this order; they stay open. */
  readonly seeds?: readonly Seed[];
  /**
   * A file, which is replaced when the new one is whole, or a block device, of which the pages that
   * differ are overwritten.
   */
  readonly output: string;
  /** Whether the file that is at `output`, or the content of the device, serves as a seed. Default true. */
  readonly seedOutput?: boolean;
  /** Whether a file shares blocks with seeds, and with itself, where the file system can. Default true. */
  readonly reflink?: boolean;
  /** Whether zeros become holes in a regular file. Default true. */
  readonly punchHoles?: boolean;
  /** Chunks under way at once. Default 32, fewer when chunks are very large. */
  readonly requests?: number;
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
}

export interface ExtractedBlob extends ChunkSourceCounts {
  /** Length of the blob in bytes, and chunks in it. */
  readonly bytes: number;
  readonly chunks: number;
}

/**
 * Restores a blob.
 * @throws NotFoundError `chunk-missing` with the stores that were tried; IntegrityError `chunk-altered`
 *   with the store that holds it altered; EnvironmentError `no-space`, `output-not-writable`,
 *   `output-too-small`; AbortedError. A regular output is then as it was before, and what was
 *   restored waits beside it for the next run, as `.NAME.partial`.
 * @example await extractBlob({ index, stores: [await openStore("default.castr")], output: "disk.raw" })
 */
export async function extractBlob(options: ExtractBlobOptions): Promise<ExtractedBlob> {
  const { index, output, progress = silentProgress } = options;
  const kind = await outputKind(output);
  await using resources = new AsyncDisposableStack();
  const stores: ReadStore[] = [];
  for (const store of options.stores) {
    if (typeof store !== "string") stores.push(store);
    else stores.push(resources.adopt(await openLocalStore(store), (opened) => opened.close()));
  }
  const addOutput = async (): Promise<void> => {
    if (options.seedOutput === false) return;
    const seed = await lazyBlobSeed(output, { ...options, sizes: index.sizes, digest: index.digest });
    source.addSeed(resources.adopt(seed, (opened) => opened.close()));
  };
  const source = new ChunkSource({ index, stores, seeds: options.seeds });
  using task = progress.start({ label: "restore chunks", unit: "bytes", total: index.totalSize });
  const job: Job = { options, plan: planExtraction(index), source, task };
  if (kind === "special") {
    await using target = await BlobOutput.openInPlace(output, index.totalSize);
    await overwrite(target, job, addOutput);
  } else {
    if (kind === "file") await addOutput();
    await makeResumably(output, "file", 0o666, (partial) => fill(partial, job));
  }
  const { counts } = source;
  task.done(`${counts.fromSeeds} chunks from seeds, ${counts.fromStores} from stores`);
  return { bytes: index.totalSize, chunks: index.count, ...counts };
}

interface Job {
  readonly options: ExtractBlobOptions;
  readonly plan: ExtractPlan;
  readonly source: ChunkSource;
  readonly task: Task;
}

/** Changes a device to the blob: first what needs nothing, then what is elsewhere on it, then the rest. */
async function overwrite(target: BlobOutput, job: Job, addOutput: () => Promise<void>): Promise<void> {
  const { plan, options, source } = job;
  if (target.hasFormerContent) {
    await counted(job, async () => void (await findInPlace({ ...options, plan, output: target })));
    if (plan.done.includes(0)) await addOutput();
  }
  await source.scanSeeds();
  await restore(target, job);
  await target.flush();
}

/** Fills a new file, or goes on with one. */
async function fill(partial: PartialOutput, job: Job): Promise<void> {
  const { options, plan, source } = job;
  const { index, signal, punchHoles: sparse = true, reflink = true } = options;
  // What is not sparse must not have holes: neither a former run's nor a seed's.
  if (!sparse && partial.isResumed) truncateSync(partial.path);
  await using target = await BlobOutput.openFile(partial.path, index.totalSize, sparse);
  const place: InPlaceOptions = { index, plan, output: target, signal };
  const isZero = (i: number): boolean => source.isZero(i);
  if (sparse && partial.isResumed) {
    await counted(job, () => resumeFile(place));
    const found = plan.inPlace.reduce((sum, one) => sum + one, 0);
    options.progress?.log("info", `going on with ${found} of ${index.count} chunks that a former run has restored`);
  }
  const shares = sparse && reflink;
  const wanted = wantedIds(job);
  let isExhausted = true;
  try {
    for (const seed of source.seeds) {
      const isShared = shares && seed.file !== undefined && (partial.isResumed || canShare(seed.file, target));
      if (seed.scan !== undefined && seed.file !== undefined && !isShared) {
        await copyFromSeed(seed, target, wanted, job);
        continue;
      }
      await seed.scan?.();
      isExhausted = false;
      const { file } = seed;
      if (isShared && file !== undefined) await counted(job, () => shareWithSeed(place, file, isZero));
    }
    if (isExhausted) {
      if (source.localStore === undefined) await fetchFromElsewhere(target, job);
      else await fetchFromStore(target, job);
    }
    await restore(target, job);
  } finally {
    partial.hasContent ||= source.counts.fromSeeds + source.counts.fromStores > 0;
  }
  if (shares) shareRepeats(place, isZero);
}

function wantedIds({ plan, source: { index } }: Job): IdTable {
  const wanted = new IdTable(plan.firsts.length);
  for (const first of plan.firsts) wanted.add(index.id(first));
  return wanted;
}

/**
 * Copies what is wanted from a seed while it is read: each chunk is cut and digested once, and the bytes
 * that are written are those that were digested. Where blocks are shared there is nothing to copy.
 */
async function copyFromSeed(seed: Seed, target: BlobOutput, wanted: IdTable, job: Job): Promise<void> {
  const { plan, source, task } = job;
  const { sparse, path: output } = target;
  const claimed = new Uint8Array(plan.done);
  await seed.scan?.({
    plan,
    output,
    sparse,
    claim(id) {
      const position = wanted.find(id);
      if (position < 0 || claimed[position] === 1) return -1;
      claimed[position] = 1;
      for (const i of placesOf(plan, position)) if (plan.inPlace[i] !== 1) task.advance(source.index.size(i));
      source.addFromSeeds(1);
      return position;
    },
  });
}

/** Puts what is missing into a file, by threads from the first store: whatever that store has. */
async function fetchFromStore(target: BlobOutput, job: Job): Promise<void> {
  const { options, plan, source, task } = job;
  const { index, signal } = options;
  const { localStore } = source;
  if (localStore === undefined || index.totalSize <= shortBlob || !plan.done.includes(0)) return;
  const onProgress = ({ written, chunks, bytesFetched }: ExtractProgress): void => {
    task.advance(written);
    source.addFromStores(chunks, bytesFetched);
  };
  const { digest } = index;
  const { sparse, path: output } = target;
  const data = { plan, digest, largestChunk: largestSize(index), sparse, store: localStore, output };
  await extractWithThreads({ ...data, onProgress, signal });
}

/** Puts what is missing into a file: this thread fetches, others decompress, verify and write meanwhile. */
async function fetchFromElsewhere(target: BlobOutput, { options, plan, source, task }: Job): Promise<void> {
  const missing: number[] = [];
  for (const [position, first] of plan.firsts.entries())
    if (plan.done[position] !== 1 && !(target.sparse && source.isZero(first))) missing.push(position);
  const chunks = { count: missing.length, at: (k: number) => plan.firsts[missing[k] ?? 0] ?? 0 };
  if (!worthThreads(source, chunks)) return;
  const { requests, signal } = options;
  const file = { plan, output: target.path, sparse: target.sparse, positionOf: (k: number) => missing[k] ?? 0 };
  using placer = new ChunkPlacer(file);
  let k = 0;
  for await (const bytes of readWithThreads(source, { chunks, requests, target: file, signal })) {
    const position = missing[k++] ?? 0;
    // what this thread has had to read itself
    if (plan.done[position] !== 1) placer.place(position, bytes);
    for (const i of placesOf(plan, position)) if (plan.inPlace[i] !== 1) task.advance(bytes.length);
  }
}

/** What `find` finds in its place counts as progress, and as come from a seed. */
async function counted({ plan, options: { index }, source, task }: Job, find: () => Promise<void>): Promise<void> {
  const [done, inPlace] = [plan.done.slice(), plan.inPlace.slice()];
  await find();
  source.addFromSeeds(plan.done.reduce((sum, one, position) => sum + one - (done[position] ?? 0), 0));
  for (let i = 0; i < index.count; i++) if (plan.inPlace[i] !== inPlace[i]) task.advance(index.size(i));
}

/** Writes every chunk that is not done wherever it is missing; each different chunk is read once. */
async function restore(target: BlobOutput, { options, plan, source, task }: Job): Promise<void> {
  const { index } = source;
  const limit = options.requests ?? requestLimit(index.sizes.max);
  await concurrently(plan.firsts.length, limit, options.signal, async (position, signal) => {
    if (plan.done[position] === 1) return;
    const first = plan.firsts[position] ?? 0;
    const bytes = target.sparse && source.isZero(first) ? undefined : await source.get(first, signal);
    for (const i of placesOf(plan, position)) {
      if (plan.inPlace[i] === 1) continue;
      if (bytes !== undefined) await target.write(bytes, index.start(i));
      task.advance(index.size(i));
    }
  });
}

/** Bytes of the largest chunk: no more than the index's maximum, and often far less. */
function largestSize(index: ChunkIndex): number {
  let largest = 0;
  for (let i = 0; i < index.count; i++) largest = Math.max(largest, index.size(i));
  return largest;
}

async function outputKind(path: string): Promise<"none" | "file" | "special"> {
  let stats;
  try {
    stats = await stat(path);
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return "none";
    throw error;
  }
  if (stats.isFile()) return "file";
  if (stats.isBlockDevice() || stats.isCharacterDevice()) return "special";
  throw new ConfigError(`cannot write a blob to ${path}: it is neither a file nor a device`, {
    code: "output-invalid",
    hint: "name a file or a block device",
    data: { file: path },
  });
}
