/**
 * Restores a blob from its index: every chunk verified, many under way, nothing under the final name
 * before it is whole.
 * @module
 */
import { stat } from "node:fs/promises";
import { ConfigError, type Progress, silentProgress, systemErrorCode, type Task } from "@imgtool/core";
import { makeAtomically } from "@imgtool/host";
import type { ChunkIndex } from "@imgtool/chunker";
import { openLocalStore, type ReadStore } from "@imgtool/store";
import { BlobOutput } from "./blob-output.ts";
import { ChunkSource, type ChunkSourceCounts } from "./chunk-source.ts";
import { concurrently, requestLimit } from "./concurrently.ts";
import { type ExtractPlan, planExtraction } from "./extract-plan.ts";
import { extractWithThreads } from "./extract-threads.ts";
import { blobSeed } from "./file-seed.ts";
import type { Seed } from "./seed.ts";

/** Blobs up to this length are restored without threads: starting them takes as long. */
const shortBlob: number = 8 * 1024 ** 2;

export interface ExtractBlobOptions {
  readonly index: ChunkIndex;
  /**
   * Asked in this order: paths of local stores, or open stores. When the first is a path and there is
   * no seed, worker threads read from it.
   */
  readonly stores: readonly (string | ReadStore)[];
  /** Asked before the stores, in this order; they stay open. */
  readonly seeds?: readonly Seed[];
  /** A file, which is replaced when the new one is whole, or a block device, which is overwritten. */
  readonly output: string;
  /** Whether the regular file that is at `output` serves as a seed. Default true. */
  readonly seedOutput?: boolean;
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
 *   `output-too-small`; AbortedError. A regular output is then as it was before.
 * @example await extractBlob({ index, stores: [await openStore("default.castr")], output: "disk.raw" })
 */
export async function extractBlob(options: ExtractBlobOptions): Promise<ExtractedBlob> {
  const { index, output, signal, progress = silentProgress } = options;
  const kind = await outputKind(output);
  await using resources = new AsyncDisposableStack();
  const seeds = [...(options.seeds ?? [])];
  if (kind === "file" && options.seedOutput !== false) {
    const seed = await blobSeed(output, { sizes: index.sizes, digest: index.digest, progress, signal });
    resources.defer(() => seed.close());
    seeds.push(seed);
  }
  const stores: ReadStore[] = [];
  for (const store of options.stores) {
    if (typeof store !== "string") stores.push(store);
    else stores.push(resources.adopt(await openLocalStore(store), (opened) => opened.close()));
  }
  const source = new ChunkSource({ index, stores, seeds });
  const [firstStore] = options.stores;
  const canThread = typeof firstStore === "string" && seeds.length === 0 && index.totalSize > shortBlob;
  using task = progress.start({ label: "restore chunks", unit: "bytes", total: index.totalSize });
  if (kind === "special") {
    await using target = await BlobOutput.openInPlace(output, index.totalSize);
    await restore(source, target, planExtraction(index), options, task);
    await target.flush();
  } else {
    await makeAtomically(output, async (temporary) => {
      await using target = await BlobOutput.create(temporary, index.totalSize, options.punchHoles !== false);
      const plan = planExtraction(index);
      if (canThread) {
        const onProgress = (written: number, chunks: number, bytesFetched: number): void => {
          task.advance(written);
          source.addFromStores(chunks, bytesFetched);
        };
        const { digest } = index;
        const largestChunk = largestSize(index);
        const { sparse } = target;
        const data = { plan, digest, largestChunk, sparse, store: firstStore, output: temporary };
        await extractWithThreads({ ...data, onProgress, signal });
      }
      await restore(source, target, plan, options, task);
    });
  }
  const { counts } = source;
  task.done(`${counts.fromSeeds} chunks from seeds, ${counts.fromStores} from stores`);
  return { bytes: index.totalSize, chunks: index.count, ...counts };
}

/** Writes every chunk that is not done wherever it occurs; each different chunk is read once. */
async function restore(
  source: ChunkSource,
  target: BlobOutput,
  plan: ExtractPlan,
  options: ExtractBlobOptions,
  task: Task,
): Promise<void> {
  const { index } = source;
  const { firsts, next, done } = plan;
  const limit = options.requests ?? requestLimit(index.sizes.max);
  await concurrently(firsts.length, limit, options.signal, async (position, signal) => {
    const first = firsts[position] ?? 0;
    if (done[position] === 1) return;
    const bytes = target.sparse && source.isZero(first) ? undefined : await source.get(first, signal);
    for (let i = first; i >= 0; i = next[i] ?? -1) {
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
