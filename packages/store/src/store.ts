/**
 * What a chunk store is. The interfaces widen by capability: code asks for the least it needs. A
 * store holds immutable chunks, each named by the digest of its plain bytes.
 *
 * Drivers hand out a chunk's bytes as they are stored (compressed, see codecs.ts); readChunk() in
 * read-chunk.ts decompresses within the size that the index declares and verifies the digest, so no
 * driver can forget to.
 * @module
 */

import type { StoreKey } from "./encrypted/key.ts";

/** A chunk's identifier: 64 lower-case hexadecimal digits of its 32-byte digest. */
export type ChunkName = string;

/** A chunk as it lies in a store. */
export interface StoredChunk {
  readonly bytes: Uint8Array;
  /** Whether the bytes are compressed; which codec is told from their first bytes. */
  readonly compressed: boolean;
}

/** A store that is a directory here: threads open it for themselves, with openSyncStore(). */
export interface LocalStorePlace {
  readonly directory: string;
  /** With which its chunks are encrypted. */
  readonly key?: StoreKey | undefined;
}

export interface ReadStore {
  /** Where the store is, for messages: a path or a URL without its credentials. */
  readonly location: string;
  /** Of a store that is a directory here, where it is. */
  readonly place?: LocalStorePlace | undefined;
  /** Whether the store holds the chunk, without reading it. */
  has(name: ChunkName, signal?: AbortSignal): Promise<boolean>;
  /**
   * The chunk's stored bytes, unverified; undefined when the store does not hold it.
   * @param maxBytes the most stored bytes to take, default maxStoredBytes() of limits.ts
   * @param memory that the bytes may be put into, instead of new memory: not touched any more once the promise has settled
   * @throws FormatError when the store holds something else under the name; EnvironmentError or
   *   NetworkError when the store cannot tell; AbortedError
   */
  get(name: ChunkName, signal?: AbortSignal, maxBytes?: number, memory?: Uint8Array): Promise<StoredChunk | undefined>;
  /**
   * Bytes that the chunk takes up in the store, without reading it; undefined when the store does not hold it
   * or cannot say. Where the method is missing, only get() tells.
   * @throws as has()
   */
  storedSize?(name: ChunkName, signal?: AbortSignal): Promise<number | undefined>;
  /** What a chunk takes up in the store, in bytes, where that is not its length: encrypted, it is longer. */
  storedBytes?(chunk: StoredChunk): number;
  /**
   * Of a store with copies: what get() has handed out under the name is not the chunk, so the copy of it goes.
   * @returns whether there was one, so that asking again may bring the chunk
   */
  discard?(name: ChunkName): Promise<boolean>;
  /** Ends connections; a closed store is not used again. */
  close(): Promise<void>;
}

export interface WriteStore extends ReadStore {
  /**
   * Whether the store holds the chunk, for a writer that is about to name it in an index: what is
   * there counts as just used, so that a prune that runs beside leaves it alone.
   * @throws as has()
   */
  keep(name: ChunkName, signal?: AbortSignal): Promise<boolean>;
  /**
   * Stores compressed or plain bytes under the name. A chunk that is there already is kept, see keep().
   * When it returns, the chunk can be read back; flush() makes it safe from a crash.
   * @returns whether the chunk is new
   * @throws EnvironmentError when the store has no space or cannot be written
   */
  put(name: ChunkName, chunk: StoredChunk, signal?: AbortSignal): Promise<boolean>;
  /**
   * Ends what was put so far: others find it from now on, and it is durable, if the store was opened so.
   * Called once before an index that names the chunks is written.
   */
  flush(): Promise<void>;
}

/** Something in a store, as a listing finds it. Times are milliseconds since 1970. */
export type StoreEntry =
  /** A chunk, unverified. `lastUsed`: when it was written, or kept by a writer. */
  | {
      readonly kind: "chunk";
      readonly path: string;
      readonly name: ChunkName;
      readonly compressed: boolean;
      readonly bytes: number;
      readonly lastUsed: number;
    }
  /** A chunk whose removal was cut short: not to be read, but whole. */
  | {
      readonly kind: "leaving";
      readonly path: string;
      readonly name: ChunkName;
      readonly bytes: number;
      readonly lastUsed: number;
    }
  /** What a writer has not finished yet, or never will. */
  | { readonly kind: "unfinished"; readonly path: string; readonly bytes: number; readonly lastUsed: number }
  /** What does not belong into a store; `reason` says what it is. */
  | { readonly kind: "stray"; readonly path: string; readonly reason: string };

/** A store that can say what it holds. */
export interface ListStore extends ReadStore {
  /**
   * Yields everything in the store, in no particular order; marks of missing chunks are left out.
   * What is written or removed meanwhile may or may not be seen.
   * @throws EnvironmentError, AbortedError
   */
  list(signal?: AbortSignal): AsyncGenerator<StoreEntry, void>;
  /** What list() calls a chunk, where that is not its name: in an encrypted store. */
  listedName?(name: ChunkName): ChunkName;
}

/** A store that chunks can be removed from while others write to it. */
export interface PruneStore extends WriteStore, ListStore {
  /**
   * Removes what was listed, unless it has been used at `unusedSince` (milliseconds since 1970) or
   * later; a chunk that was leaving and has been used is put back. Whatever stops it, a chunk that was
   * used is there afterwards, or is put back by the next call.
   * @returns whether it is gone through this call
   * @throws EnvironmentError when the store cannot be written
   */
  remove(entry: Exclude<StoreEntry, { kind: "stray" }>, unusedSince: number): Promise<boolean>;
}
