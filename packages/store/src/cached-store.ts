/**
 * A store elsewhere with a bounded copy here: chunks that were fetched are kept in a local store, the least
 * recently used of them removed when there are too many bytes.
 *
 * Several processes may share a copy. Each counts the folder when it begins, after each sixteenth of the bound
 * that it has written, and at its end; one that finds chunks of another leaves an eighth of the bound free for
 * what that one writes before the next count. When a chunk was used last is the time of its file.
 * @module
 */
import { lutimes } from "node:fs/promises";
import { join } from "node:path";
import { chunkPath } from "./chunk-path.ts";
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

/** Times are milliseconds since 1970. */
interface Kept {
  readonly compressed: boolean;
  readonly bytes: number;
  lastUsed: number;
  /** What the file says of its last use. */
  touched: number;
}

/** How far the time of a file may lie behind the chunk's last use. */
const touchAge = 60_000;
/** What a writer has not finished since then, it never will. */
const unfinishedAge = 3_600_000;

export class CachedStore implements ReadStore {
  readonly location: string;
  readonly #store: ReadStore;
  readonly #copy: PruneStore;
  readonly #options: CachedStoreOptions;
  /** What the copy has, the least recently used first. */
  #kept = new Map<ChunkName, Kept>();
  #bytes = 0;
  /** Bytes written since the folder was counted. */
  #written = 0;
  #isShared = false;
  #hasFailed = false;
  #shrinking: Promise<void> = Promise.resolve();

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
    await cached.#count();
    cached.#isShared = false;
    await cached.#shrink();
    return cached;
  }

  /** Bytes that still fit without another chunk's leaving. */
  get free(): number {
    return Math.max(0, this.#limit - this.#bytes);
  }

  /** Whether the copy has the chunk. */
  keeps(name: ChunkName): boolean {
    return this.#kept.has(name);
  }

  async has(name: ChunkName, signal?: AbortSignal): Promise<boolean> {
    return this.#kept.has(name) || this.#store.has(name, signal);
  }

  async get(name: ChunkName, signal?: AbortSignal, maxBytes?: number): Promise<StoredChunk | undefined> {
    const here = await this.#copy.get(name, signal, maxBytes).catch(() => undefined);
    if (here !== undefined) {
      await this.#use(name, here);
      return here;
    }
    // Something may be there all the same, in whose place nothing could be put.
    await this.#drop(name);
    const chunk = await this.#store.get(name, signal, maxBytes);
    if (chunk !== undefined) await this.#keep(name, chunk);
    return chunk;
  }

  /** The copy is damaged: it goes, and the next get() fetches the chunk anew. */
  async discard(name: ChunkName): Promise<boolean> {
    return this.#drop(name);
  }

  /** Leaves the folder within its bound, whatever others have written meanwhile. */
  async close(): Promise<void> {
    if (!this.#hasFailed && this.#written > 0) {
      try {
        await this.#count();
        await this.#shrink();
      } catch {
        // the folder is gone: it holds nothing
      }
    }
    await this.#copy.close();
    await this.#store.close();
  }

  get #limit(): number {
    const { maxBytes } = this.#options;
    return this.#isShared ? maxBytes - maxBytes / 8 : maxBytes;
  }

  async #use(name: ChunkName, { compressed, bytes }: StoredChunk): Promise<void> {
    const now = Date.now();
    const kept = this.#kept.get(name) ?? { compressed, bytes: bytes.length, lastUsed: now, touched: 0 };
    this.#forget(name);
    this.#add(name, kept);
    kept.lastUsed = now;
    if (now - kept.touched < touchAge) return;
    kept.touched = now;
    // Another process may have removed it meanwhile, or the file system be read-only.
    await lutimes(this.#path(name, kept), now / 1000, now / 1000).catch(() => {});
  }

  async #keep(name: ChunkName, chunk: StoredChunk): Promise<void> {
    if (this.#hasFailed || this.#kept.has(name)) return;
    try {
      await this.#copy.put(name, chunk);
      const now = Date.now();
      this.#forget(name);
      this.#add(name, { compressed: chunk.compressed, bytes: chunk.bytes.length, lastUsed: now, touched: now });
      this.#written += chunk.bytes.length;
      // One after the other: each would remove for itself what is too much.
      this.#shrinking = this.#makeRoom(this.#shrinking);
      await this.#shrinking;
    } catch (error) {
      // The disk is full, or not ours: no reason to fail a read.
      this.#hasFailed = true;
      this.#options.onError?.(error);
    }
  }

  /** One call after the other: each would remove for itself what is too much. */
  async #makeRoom(former: Promise<void>): Promise<void> {
    await former;
    if (this.#written > this.#options.maxBytes / 16) await this.#count();
    await this.#shrink();
  }

  /** Looks what the folder has, from whomever. */
  async #count(): Promise<void> {
    this.#written = 0;
    const startedAt = Date.now();
    const found = new Map<ChunkName, Kept>();
    for await (const entry of this.#copy.list()) {
      if (entry.kind === "chunk")
        found.set(entry.name, { ...entry, lastUsed: entry.lastUsed, touched: entry.lastUsed });
      else if (entry.kind === "leaving") await this.#copy.remove(entry, Number.POSITIVE_INFINITY);
      else if (entry.kind === "unfinished") await this.#copy.remove(entry, startedAt - unfinishedAge);
    }
    const merged: (readonly [ChunkName, Kept])[] = [];
    for (const [name, own] of this.#kept) {
      const there = found.get(name);
      found.delete(name);
      // What was put meanwhile may lie where the listing had been already.
      if (there === undefined && own.lastUsed < startedAt) continue;
      // Of what both have used, the later use counts; the file's time is not kept up to the second.
      if (there !== undefined && there.lastUsed > own.lastUsed + 1000) own.lastUsed = there.lastUsed;
      merged.push([name, own]);
    }
    if (found.size > 0) this.#isShared = true;
    merged.push(...found);
    this.#kept = new Map(merged.sort(([, a], [, b]) => a.lastUsed - b.lastUsed));
    this.#bytes = merged.reduce((sum, [, { bytes }]) => sum + bytes, 0);
  }

  async #shrink(): Promise<void> {
    for (const [name, kept] of this.#kept) {
      if (this.#bytes <= this.#limit) break;
      this.#forget(name);
      await this.#remove(name, kept);
    }
  }

  /** Removes what the copy has under a name, in either form. @returns whether there was anything */
  async #drop(name: ChunkName): Promise<boolean> {
    this.#forget(name);
    try {
      const compressed = await this.#remove(name, { compressed: true, bytes: 0 });
      return (await this.#remove(name, { compressed: false, bytes: 0 })) || compressed;
    } catch {
      return false;
    }
  }

  #remove(name: ChunkName, { compressed, bytes }: Pick<Kept, "compressed" | "bytes">): Promise<boolean> {
    const path = this.#path(name, { compressed });
    return this.#copy.remove({ kind: "chunk", path, name, compressed, bytes, lastUsed: 0 }, Number.POSITIVE_INFINITY);
  }

  #path(name: ChunkName, { compressed }: Pick<Kept, "compressed">): string {
    return join(this.#options.directory, chunkPath(name, compressed));
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
