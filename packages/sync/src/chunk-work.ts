/**
 * What is done to each chunk: its id is computed and, for local stores, it is looked up, compressed
 * and written. Everything is synchronous: a worker thread has nothing else to do.
 * @module
 */
import { hash } from "node:crypto";
import type { DigestAlgorithm } from "@imgtool/chunker";
import type { LocalStorePlace } from "@imgtool/store";
import { borrowCompressed, type Compression, openSyncStore, type SyncStore } from "@imgtool/store/blocking";
import { ChunkPlacer, type PlacerOptions } from "./chunk-placer.ts";
import { type ChunkRing, type Job, orderCompress, orderPlace, orderStore, type RingMemory } from "./chunk-ring.ts";
import { endDrop } from "./order-queue.ts";

export interface ChunkWorkOptions {
  readonly memory: RingMemory;
  readonly digest: DigestAlgorithm;
  readonly compression: Compression;
  readonly level: number | undefined;
  /** A local store. */
  readonly store: LocalStorePlace | undefined;
  readonly durable: boolean;
  /** Where chunks are placed that are wanted. */
  readonly placer: PlacerOptions | undefined;
}

/** Bytes for the main thread, which stores them itself. */
export interface CompressedChunk {
  readonly slot: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly compressed: boolean;
}

/** Carries out the orders in a ring. Disposing drops what is not flushed. */
export class ChunkWork implements Disposable {
  readonly #ring: ChunkRing;
  readonly #options: ChunkWorkOptions;
  readonly #store: SyncStore | undefined;
  readonly #placer: ChunkPlacer | undefined;
  readonly #onCompressed: (chunk: CompressedChunk) => void;

  constructor(ring: ChunkRing, options: ChunkWorkOptions, onCompressed: (chunk: CompressedChunk) => void) {
    this.#ring = ring;
    this.#options = options;
    this.#onCompressed = onCompressed;
    if (options.placer !== undefined) this.#placer = new ChunkPlacer(options.placer);
    if (options.store !== undefined) this.#store = openSyncStore(options.store, { durable: options.durable });
  }

  /** Carries out one order. */
  do({ order, slot }: Job): void {
    if (order === orderCompress) {
      const { bytes, compressed } = this.#compress(this.#ring.chunk(slot));
      // a copy of exactly these bytes, whose memory a message can move
      this.#onCompressed({ slot, bytes: new Uint8Array(bytes), compressed });
      return;
    }
    const chunk = this.#ring.chunk(slot);
    if (order === orderPlace) {
      this.#placer?.place(this.#ring.position(slot), chunk);
      this.#ring.setFinished(slot);
      return;
    }
    const name = hash(this.#options.digest, chunk, "hex");
    this.#ring.setName(slot, name);
    if (order === orderStore) this.#put(slot, name, chunk);
    this.#ring.setKnown(slot);
  }

  /** Whether the local store has a chunk; without one, none is missing. */
  keep(name: string): boolean {
    return this.#store?.keep(name) !== false;
  }

  /** Makes what was written visible and durable, unless the stream was dropped. */
  flush(): void {
    if (this.#ring.end !== endDrop) this.#store?.flush();
  }

  [Symbol.dispose](): void {
    this.#store?.[Symbol.dispose]();
    this.#placer?.[Symbol.dispose]();
  }

  #put(slot: number, name: string, chunk: Uint8Array): void {
    if (this.#store === undefined || this.#store.keep(name)) return this.#ring.setOutcome(slot, 0, false);
    const stored = this.#compress(chunk);
    return this.#ring.setOutcome(slot, this.#store.storedBytes(stored), this.#store.put(name, stored));
  }

  #compress(chunk: Uint8Array): ReturnType<typeof borrowCompressed> {
    return borrowCompressed(chunk, this.#options.compression, this.#options.level);
  }
}
