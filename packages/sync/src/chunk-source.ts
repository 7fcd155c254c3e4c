/**
 * Where an extraction gets its chunks from: seeds first, then the stores in their order.
 * @module
 */
import { hash } from "node:crypto";
import { abortedError, compareBytes, ImgtoolError, systemErrorCode } from "@imgtool/core";
import type { ChunkIndex } from "@imgtool/chunker";
import { type LocalStorePlace, readChunk, type ReadStore, type StoredChunk } from "@imgtool/store";
import { maxStoredBytes, openChunk, openSyncStore, type SyncStore } from "@imgtool/store/blocking";
import type { Seed, SeedPlace } from "./seed.ts";

export interface ChunkSourceOptions {
  readonly index: ChunkIndex;
  readonly stores: readonly ReadStore[];
  /** Asked before the stores, in this order. */
  readonly seeds?: readonly Seed[] | undefined;
}

export interface ChunkSourceCounts {
  /** Chunks that came from seeds, and from stores. */
  readonly fromSeeds: number;
  readonly fromStores: number;
  /** Bytes that the stores handed out: compressed, as they are transferred. */
  readonly bytesFetched: number;
}

/** Hands out the chunks of an index, verified, and counts where they came from. */
export class ChunkSource {
  readonly index: ChunkIndex;
  readonly #stores: readonly ReadStore[];
  readonly #seeds: Seed[];
  readonly #localStore: LocalStorePlace | undefined;
  #blocking: SyncStore | undefined;
  #fromSeeds = 0;
  #fromStores = 0;
  #bytesFetched = 0;
  /** Id of a chunk of the maximum size that is all zeros; it is made when it is asked for first. */
  #zeroId: Uint8Array | undefined;

  constructor(options: ChunkSourceOptions) {
    this.index = options.index;
    this.#seeds = [...(options.seeds ?? [])];
    this.#localStore = options.stores[0]?.place;
    this.#stores = options.stores.map((store) => this.#counted(store));
  }

  get counts(): ChunkSourceCounts {
    return { fromSeeds: this.#fromSeeds, fromStores: this.#fromStores, bytesFetched: this.#bytesFetched };
  }

  /**
   * The plain bytes of chunk i.
   * @throws NotFoundError `chunk-missing`; IntegrityError `chunk-altered`; what a store throws
   */
  async get(i: number, signal?: AbortSignal): Promise<Uint8Array> {
    const size = this.index.size(i);
    const id = this.index.id(i);
    for (const seed of this.#seeds) {
      const bytes = await readSeed(seed, id, size);
      if (signal?.aborted === true) throw abortedError(signal);
      if (bytes === undefined) continue;
      this.#fromSeeds++;
      return bytes;
    }
    const bytes = await readChunk(this.#stores, this.index.name(i), size, this.index.digest, signal);
    this.#fromStores++;
    return bytes;
  }

  /** Where the first store is, when it is one that threads can read. */
  get localStore(): LocalStorePlace | undefined {
    return this.#localStore;
  }

  /** Where the first seed that has a chunk has it; undefined when none has. */
  seedPlace(id: Uint8Array, size: number): SeedPlace | undefined {
    for (const seed of this.#seeds) {
      const place = seed.place === undefined ? "read" : seed.place(id, size);
      if (place !== undefined) return place;
    }
    return undefined;
  }

  /**
   * What the first store has under the name of chunk i, unverified, and undefined when it has nothing: for
   * threads that verify it.
   * @param memory that its bytes may be put into
   */
  async fetchStored(i: number, signal?: AbortSignal, memory?: Uint8Array): Promise<StoredChunk | undefined> {
    return this.#stores[0]?.get(this.index.name(i), signal, maxStoredBytes(this.index.size(i)), memory);
  }

  /**
   * As get(), without waiting, of a chunk that no seed has and the local store has whole; else undefined.
   * Waiting for the four calls that reading a file takes costs more than the calls.
   */
  getNow(i: number): Uint8Array | undefined {
    if (this.#localStore === undefined || this.#seeds.length > 0) return undefined;
    const size = this.index.size(i);
    const name = this.index.name(i);
    this.#blocking ??= openSyncStore(this.#localStore);
    try {
      const chunk = this.#blocking.get(name, maxStoredBytes(size));
      if (chunk === undefined) return undefined;
      const bytes = openChunk(chunk, name, size, this.index.digest, this.#blocking.location);
      this.addFromStores(1, this.#blocking.storedBytes(chunk));
      return bytes;
    } catch (error) {
      // get() knows the other stores, and how to report it
      if (error instanceof ImgtoolError) return undefined;
      throw error;
    }
  }

  /** Adds a seed, to be asked after the others; it stays open. */
  addSeed(seed: Seed): void {
    this.#seeds.push(seed);
  }

  get seeds(): readonly Seed[] {
    return this.#seeds;
  }

  /** Lets the seeds read what they have not read yet. */
  async scanSeeds(): Promise<void> {
    for (const seed of this.#seeds) await seed.scan?.();
  }

  /** Counts chunks that the output had already. */
  addFromSeeds(chunks: number): void {
    this.#fromSeeds += chunks;
  }

  /** Counts chunks that other threads have read from a store. */
  addFromStores(chunks: number, bytesFetched: number): void {
    this.#fromStores += chunks;
    this.#bytesFetched += bytesFetched;
  }

  /**
   * Whether chunk i is known to be all zeros without reading it. Long runs of zeros have no cut
   * before the maximum size, so that one digest tells nearly all of them.
   */
  isZero(i: number): boolean {
    const { max } = this.index.sizes;
    if (this.index.size(i) !== max) return false;
    this.#zeroId ??= hash(this.index.digest, new Uint8Array(max), "buffer");
    return compareBytes(this.#zeroId, this.index.id(i)) === 0;
  }

  #counted(store: ReadStore): ReadStore {
    return {
      location: store.location,
      has: (name, signal) => store.has(name, signal),
      get: async (name, ...rest) => {
        const chunk = await store.get(name, ...rest);
        if (chunk !== undefined) this.#bytesFetched += store.storedBytes?.(chunk) ?? chunk.bytes.length;
        return chunk;
      },
      discard: async (name) => (await store.discard?.(name)) ?? false,
      close: () => store.close(),
    };
  }
}

/** A seed is a shortcut: one that cannot be read (a failing disk, a file cut short) is passed over. */
async function readSeed(seed: Seed, id: Uint8Array, size: number): Promise<Uint8Array | undefined> {
  try {
    return await seed.read(id, size);
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    return undefined;
  }
}
