/**
 * An index and its store as a seed: a former version that was published, wherever it is.
 * @module
 */
import { type ChunkIndex, IdTable } from "@imgtool/chunker";
import { ImgtoolError, toHex } from "@imgtool/core";
import { readChunk, type ReadStore } from "@imgtool/store";
import type { Seed } from "./seed.ts";

/**
 * A seed of the chunks that an index names. Nothing is read before it is used, and a store that has
 * lost or altered a chunk does not have it.
 * @param store closed with the seed
 */
export function storedSeed(index: ChunkIndex, store: ReadStore): Seed {
  const ids = new IdTable(index.count);
  for (let i = 0; i < index.count; i++) ids.add(index.id(i));
  return {
    location: store.location,
    place: (id) => (ids.find(id) < 0 ? undefined : "read"),
    async read(id, size) {
      if (ids.find(id) < 0) return undefined;
      try {
        return await readChunk([store], toHex(id), size, index.digest);
      } catch (error) {
        if (error instanceof ImgtoolError) return undefined;
        throw error;
      }
    },
    close: () => store.close(),
  };
}
