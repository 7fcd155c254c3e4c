/**
 * Copies the chunks of indexes from one store into another, as they are stored: a cache before a device
 * goes offline, a mirror of some versions.
 * @module
 */
import type { ChunkIndex } from "@imgtool/chunker";
import { type Progress, silentProgress } from "@imgtool/core";
import { readStoredChunk, type ReadStore, type WriteStore } from "@imgtool/store";
import { concurrently, requestLimit } from "./concurrently.ts";

export interface FillStoreOptions {
  readonly indexes: readonly ChunkIndex[];
  /** Asked in this order. */
  readonly from: readonly ReadStore[];
  readonly to: WriteStore;
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
}

export interface FilledStore {
  /** Different chunks that the indexes name. */
  readonly chunks: number;
  /** Those that `to` did not have, and what they take up there in bytes. */
  readonly copied: number;
  readonly bytes: number;
}

/**
 * Copies what the store lacks; every chunk is verified on its way.
 * @throws as readStoredChunk(); what `to` throws; AbortedError. What was copied stays.
 */
export async function fillStore(options: FillStoreOptions): Promise<FilledStore> {
  const { indexes, from, to, progress = silentProgress, signal } = options;
  const wanted = new Map<string, { readonly index: ChunkIndex; readonly i: number }>();
  for (const index of indexes) for (let i = 0; i < index.count; i++) wanted.set(index.name(i), { index, i });
  const chunks = [...wanted];
  const largest = Math.max(1, ...indexes.map(({ sizes }) => sizes.max));
  let [copied, bytes] = [0, 0];
  using task = progress.start({ label: "fill store", total: chunks.length });
  await concurrently(chunks.length, requestLimit(largest), signal, async (position, stop) => {
    const [name, { index, i }] = chunks[position] as (typeof chunks)[number];
    if (!(await to.keep(name, stop))) {
      const chunk = await readStoredChunk(from, name, index.size(i), index.digest, stop);
      if (await to.put(name, chunk, stop)) {
        copied++;
        bytes += chunk.bytes.length;
      }
    }
    task.advance(1);
  });
  await to.flush();
  task.done(`${copied} of ${chunks.length} chunks copied`);
  return { chunks: chunks.length, copied, bytes };
}
