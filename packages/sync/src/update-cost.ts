/**
 * What an update costs: the chunks of a new version that the former one does not have.
 * @module
 */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { systemErrorCode } from "@imgtool/core";
import { type ChunkIndex, IdTable } from "@imgtool/chunker";
import { chunkPath, type LocalStorePlace, maxStoredBytes, type ReadStore, StoreCipher } from "@imgtool/store";
import { concurrently } from "./concurrently.ts";

export interface UpdateCost {
  /** Different chunks that the next version has and the previous one has not. */
  readonly newChunks: number;
  /** Their plain length in bytes. */
  readonly newBytes: number;
  /** What they take up in the store and on the wire, in bytes; chunks the store lacks are not counted. */
  readonly storedBytes: number;
}

/**
 * What a device that has the previous version transfers to get the next one.
 * @param previous undefined when there is no former version: everything is new
 * @param store a local store, whose files are only measured, or an open store, which has to hand them out
 *   unless it can say how large they are
 * @throws what the store throws
 */
export async function updateCost(
  previous: ChunkIndex | undefined,
  next: ChunkIndex,
  store: string | LocalStorePlace | ReadStore,
  signal?: AbortSignal,
): Promise<UpdateCost> {
  const known = new IdTable(next.count + (previous?.count ?? 0));
  // Ids depend on the digest: two versions with different ones have nothing in common.
  if (previous !== undefined && previous.digest === next.digest) {
    for (let i = 0; i < previous.count; i++) known.add(previous.id(i));
  }
  const added: number[] = [];
  let newBytes = 0;
  for (let i = 0; i < next.count; i++) {
    const before = known.count;
    known.add(next.id(i));
    if (known.count === before) continue;
    added.push(i);
    newBytes += next.size(i);
  }
  const measure = measurer(store);
  let storedBytes = 0;
  await concurrently(added.length, 16, signal, async (position, signal) => {
    const i = added[position] ?? 0;
    const stored = await measure(next.name(i), next.size(i), signal);
    // Not in one statement with the await: the sum would be read before it, and lose what others add.
    storedBytes += stored;
  });
  return { newChunks: added.length, newBytes, storedBytes };
}

type Measure = (name: string, size: number, signal: AbortSignal) => Promise<number>;

/** What tells how many bytes a chunk takes up in a store; 0 when the store lacks it. */
function measurer(store: string | LocalStorePlace | ReadStore): Measure {
  if (typeof store !== "string" && "get" in store) {
    return async (name, size, signal) => {
      if (store.storedSize !== undefined) return (await store.storedSize(name, signal)) ?? 0;
      const chunk = await store.get(name, signal, maxStoredBytes(size));
      return chunk === undefined ? 0 : (store.storedBytes?.(chunk) ?? chunk.bytes.length);
    };
  }
  const { directory, key }: LocalStorePlace = typeof store === "string" ? { directory: store } : store;
  const cipher = key === undefined ? undefined : new StoreCipher(key);
  return (name) => storedSize(directory, cipher?.storedName(name) ?? name);
}

async function storedSize(directory: string, name: string): Promise<number> {
  for (const compressed of [true, false]) {
    try {
      return (await stat(join(directory, chunkPath(name, compressed)))).size;
    } catch (error) {
      if (systemErrorCode(error) !== "ENOENT") throw error;
    }
  }
  return 0;
}
