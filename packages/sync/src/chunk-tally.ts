/**
 * Counts what a run of the chunk pipeline does. A chunk that occurs twice in a stream is stored
 * once; two workers may both have found it missing.
 * @module
 */
import { IdTable } from "@imgtool/chunker";

export class ChunkTally {
  readonly #seen = new IdTable(1024);
  readonly #stored = new IdTable(1024);
  #chunks = 0;
  #newBytes = 0;

  /** Counts a chunk; returns whether it is the first with its id. */
  add(id: Uint8Array): boolean {
    this.#chunks++;
    const known = this.#seen.count;
    this.#seen.add(id);
    return this.#seen.count > known;
  }

  /** Counts chunks that are equal to one that was counted. */
  addAgain(count: number): void {
    this.#chunks += count;
  }

  /** Counts a chunk that was new in the store, with the bytes it takes up there. */
  addStored(id: Uint8Array, storedBytes: number): void {
    const known = this.#stored.count;
    this.#stored.add(id);
    if (this.#stored.count > known) this.#newBytes += storedBytes;
  }

  counts(): { readonly chunks: number; readonly newChunks: number; readonly newBytes: number } {
    return { chunks: this.#chunks, newChunks: this.#stored.count, newBytes: this.#newBytes };
  }
}
