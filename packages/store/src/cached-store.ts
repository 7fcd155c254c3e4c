/**
 * A store elsewhere with a bounded copy here: chunks that were fetched are kept in a local store, the least
 * recently used of them removed when there are too many bytes.
 * @module
 */
import { chunkPath } from "./chunk-path.ts";
import { join } from "node:path";
import { openLocalStore } from "./local.ts";
import type { ChunkName, PruneStore, ReadStore, StoredChunk } from "./store.ts";

export interface CachedStoreOptions {
  /** Directory of the copy: a chunk store of its own, made where it is not there. */
  readonly directory: string;
  /** Bytes that are kept. */
  readonly maxBytes: number;
  /** Told once when chunks cannot be kept, for people: they are fetched all the same. */
  readonly onError?: (error: unknown) => void;
}

interface Kept {
  readonly compressed: boolean;
  readonly bytes: number;
}

export class CachedStore implements ReadStore {
  readonly location: string;
  readonly #store: ReadStore;
  readonly #copy: PruneStore;
  readonly #options: CachedStoreOptions;
  /** What the copy has, the least recently used first. */
  readonly #kept = new Map<ChunkName, Kept>();
  #bytes = 0;
  #hasFailed = false;

  private constructor(store: ReadStore, copy: PruneStore, options: CachedStoreOptions) {
    this.location = store.location;
    this.#store = store;
    this.#copy = copy;
    this.#options = options;
  }

  /** Opens the copy, which may have chunks of former runs. @throws EnvironmentError when it cannot be made or read */
  static async open(store: ReadStore, options: CachedStoreOptions): Promise<CachedStore> {
    const copy = await openLocalStore(options.directory, { create: true, durable: false });
    const cached = new CachedStore(store, copy, options);
    const found: (Kept & { readonly name: ChunkName; readonly lastUsed: number })[] = [];
    for await (const entry of copy.list()) if (entry.kind === "chunk") found.push(entry);
    for (const { name, compressed, bytes } of found.sort((a, b) => a.lastUsed - b.lastUsed))
      cached.#add(name, { compressed, bytes });
    await cached.#shrink();
    return cached;
  }

  /** Bytes that still fit without another chunk's leaving. */
  get free(): number {
    return Math.max(0, this.#options.maxBytes - this.#bytes);
  }

  /** Whether the copy has the chunk. */
  keeps(name: ChunkName): boolean {
    return this.#kept.has(name);
  }

  async has(name: ChunkName, signal?: AbortSignal): Promise<boolean> {
    return this.#kept.has(name) || this.#store.has(name, signal);
  }

  async get(name: ChunkName, signal?: AbortSignal, maxBytes?: number): Promise<StoredChunk | undefined> {
    const kept = this.#kept.get(name);
    if (kept !== undefined) {
      this.#kept.delete(name);
      this.#kept.set(name, kept);
      const chunk = await this.#copy.get(name, signal, maxBytes).catch(() => undefined);
      if (chunk !== undefined) return chunk;
      this.#forget(name);
    }
    const chunk = await this.#store.get(name, signal, maxBytes);
    if (chunk !== undefined) await this.#keep(name, chunk);
    return chunk;
  }

  async close(): Promise<void> {
    await this.#copy.close();
    await this.#store.close();
  }

  async #keep(name: ChunkName, chunk: StoredChunk): Promise<void> {
    if (this.#hasFailed || this.#kept.has(name)) return;
    try {
      await this.#copy.put(name, chunk);
      this.#forget(name);
      this.#add(name, { compressed: chunk.compressed, bytes: chunk.bytes.length });
      await this.#shrink();
    } catch (error) {
      // The disk is full, or not ours: no reason to fail a read.
      this.#hasFailed = true;
      this.#options.onError?.(error);
    }
  }

  async #shrink(): Promise<void> {
    for (const [name, { compressed, bytes }] of this.#kept) {
      if (this.#bytes <= this.#options.maxBytes) break;
      this.#forget(name);
      const path = join(this.#options.directory, chunkPath(name, compressed));
      await this.#copy.remove({ kind: "chunk", path, name, compressed, bytes, lastUsed: 0 }, Number.POSITIVE_INFINITY);
    }
  }

  #add(name: ChunkName, kept: Kept): void {
    this.#kept.set(name, kept);
    this.#bytes += kept.bytes;
  }

  #forget(name: ChunkName): void {
    this.#bytes -= this.#kept.get(name)?.bytes ?? 0;
    this.#kept.delete(name);
  }
}
