/**
 * Verification: that a store has every chunk of an index, that all of a store is what its names say,
 * that a file is what an index describes. All problems are reported, not only the first.
 * @module
 */
import { open } from "node:fs/promises";
import { NotFoundError, type Progress, silentProgress, systemErrorCode } from "@imgtool/core";
import type { ChunkIndex } from "@imgtool/chunker";
import {
  type ListStore,
  type LocalStorePlace,
  openLocalStore,
  readChunk,
  type ReadStore,
  type StoreKey,
} from "@imgtool/store";
import { listRoot } from "@imgtool/store/blocking";
import { concurrently, requestLimit } from "./concurrently.ts";
import { planExtraction } from "./extract-plan.ts";
import type { Problem, Verified } from "./verify-problem.ts";
import type { VerifyReport } from "./verify-items.ts";
import { verifyListed } from "./verify-listed.ts";
import { verifyWithThreads } from "./verify-threads.ts";
import { chunkProblem } from "./verify-work.ts";

export interface VerifyOptions {
  /** Called for every problem as it is found, in no particular order. */
  readonly onProblem?: (problem: Problem) => void;
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
}

/** Counts what is checked, and hands problems on. */
class VerifyCount {
  readonly #onProblem: (problem: Problem) => void;
  #chunks = 0;
  #bytes = 0;
  #problems = 0;

  constructor(options: VerifyOptions) {
    this.#onProblem = options.onProblem ?? (() => {});
  }

  add(chunks: number, bytes: number, problems: readonly Problem[]): void {
    this.#chunks += chunks;
    this.#bytes += bytes;
    for (const problem of problems) {
      this.#problems++;
      this.#onProblem(problem);
    }
  }

  get result(): Verified {
    return { chunks: this.#chunks, bytes: this.#bytes, problems: this.#problems };
  }

  get summary(): string {
    return `${this.#chunks} chunks, ${this.#problems === 1 ? "1 problem" : `${this.#problems} problems`}`;
  }
}

export interface VerifyChunksOptions extends VerifyOptions {
  readonly index: ChunkIndex;
  /**
   * Asked in this order: paths of local stores, or open stores. When the first is local, worker threads
   * read from it; chunks that it holds altered are problems, those that it lacks may be in the others.
   */
  readonly stores: readonly (string | ReadStore)[];
}

/**
 * Checks that the stores hold every chunk of an index: there, of the right length and digest.
 * @throws as openLocalStore(); EnvironmentError, NetworkError when a store cannot tell; AbortedError
 */
export async function verifyChunks(options: VerifyChunksOptions): Promise<Verified> {
  const { index, progress = silentProgress, signal } = options;
  const plan = planExtraction(index);
  const count = new VerifyCount(options);
  await using resources = new AsyncDisposableStack();
  const stores: ReadStore[] = [];
  for (const store of options.stores) {
    if (typeof store !== "string") stores.push(store);
    else stores.push(resources.adopt(await openLocalStore(store), (opened) => opened.close()));
  }
  using task = progress.start({ label: "verify chunks", total: plan.firsts.length });
  const place: LocalStorePlace | undefined = stores[0]?.place;
  let left: readonly number[];
  if (place !== undefined) {
    const missing: number[] = [];
    const onReport = (report: VerifyReport): void => {
      count.add(report.chunks, report.bytes, report.problems);
      task.advance(report.items - report.missing.length);
      for (const item of report.missing) missing.push(item);
    };
    await verifyWithThreads({ kind: "chunks", plan, digest: index.digest, store: place }, onReport, signal);
    left = missing;
  } else {
    left = Array.from({ length: plan.firsts.length }, (_, item) => item);
  }
  await concurrently(left.length, requestLimit(index.sizes.max), signal, async (item, stop) => {
    const position = plan.firsts[left[item] ?? 0] ?? 0;
    const [chunk, offset, size] = [index.name(position), index.start(position), index.size(position)];
    try {
      await readChunk(stores, chunk, size, index.digest, stop);
      count.add(1, size, []);
    } catch (error) {
      count.add(1, size, [chunkProblem(error, { chunk, position, offset, size })]);
    }
    task.advance(1);
  });
  task.done(count.summary);
  return count.result;
}

export interface VerifyStoreOptions extends VerifyOptions {
  /** Path of a local store, or a store elsewhere that can say what it holds: as it lies there, encrypted or not. */
  readonly store: string | ListStore;
  /** With which it is encrypted. */
  readonly key?: StoreKey | undefined;
}

/**
 * Checks that the content of every chunk in a store is what its name says, and reports what does not belong
 * there. Of a store elsewhere, a chunk that is there compressed and plain is read in one of the forms.
 * @throws as openLocalStore(); what the store throws; ConfigError `store-encrypted`; EnvironmentError; AbortedError
 */
export async function verifyStore(options: VerifyStoreOptions): Promise<Verified> {
  const { progress = silentProgress, signal, store, key } = options;
  const count = new VerifyCount(options);
  if (typeof store !== "string") {
    using task = progress.start({ label: "verify store" });
    for await (const { chunks, bytes, problems } of verifyListed(store, key, signal)) {
      count.add(chunks, bytes, problems);
      task.advance(chunks);
    }
    task.done(count.summary);
    return count.result;
  }
  await (await openLocalStore(store)).close();
  const { folders, strays } = listRoot(store);
  for (const { path, reason } of strays) {
    count.add(0, 0, [{ code: "stray", message: `${path} does not belong here: ${reason}`, path }]);
  }
  using task = progress.start({ label: "verify store", total: folders.length });
  const onReport = (report: VerifyReport): void => {
    count.add(report.chunks, report.bytes, report.problems);
    task.advance(report.items);
  };
  await verifyWithThreads({ kind: "store", store: { directory: store, key }, folders }, onReport, signal);
  task.done(count.summary);
  return count.result;
}

export interface VerifyFileOptions extends VerifyOptions {
  readonly index: ChunkIndex;
  /** Path of a file or block device. */
  readonly file: string;
}

/**
 * Checks that a file's content is what an index describes, chunk by chunk. A block device may be larger.
 * @throws NotFoundError `source-missing`; EnvironmentError; AbortedError
 */
export async function verifyFile(options: VerifyFileOptions): Promise<Verified> {
  const { index, file, progress = silentProgress, signal } = options;
  const count = new VerifyCount(options);
  const found = await contentSize(file, index.totalSize);
  if (found !== index.totalSize) {
    const message = `${file}: expected ${index.totalSize} bytes, found ${found}`;
    const offset = Math.min(found, index.totalSize);
    count.add(0, 0, [{ code: "size-differs", message, path: file, offset }]);
  }
  using task = progress.start({ label: "verify content", unit: "bytes", total: index.totalSize });
  const job = { kind: "file", plan: planExtraction(index), digest: index.digest, path: file } as const;
  const onReport = (report: VerifyReport): void => {
    count.add(report.chunks, report.bytes, report.problems);
    task.advance(report.bytes);
  };
  await verifyWithThreads(job, onReport, signal);
  task.done(count.summary);
  return count.result;
}

/** Length of a file's content; of a block device that is large enough, what is expected of it. */
async function contentSize(path: string, expected: number): Promise<number> {
  try {
    await using handle = await open(path, "r");
    const stats = await handle.stat();
    if (!stats.isBlockDevice()) return stats.size;
    if (expected === 0) return 0;
    return (await handle.read(new Uint8Array(1), 0, 1, expected - 1)).bytesRead === 1 ? expected : 0;
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT") throw error;
    throw new NotFoundError(`there is no file at ${path}`, {
      code: "source-missing",
      data: { file: path },
      cause: error,
    });
  }
}
