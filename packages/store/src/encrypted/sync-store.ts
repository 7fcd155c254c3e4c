/**
 * What threads read and write of a local store, encrypted or not.
 * @module
 */
import { SyncLocalStore, type SyncLocalStoreOptions } from "../local-files.ts";
import { maxStoredBytes } from "../limits.ts";
import type { ChunkName, LocalStorePlace, StoredChunk } from "../store.ts";
import { chunkPlace, maxSealedBytes, StoreCipher } from "./cipher.ts";
import type { StoreKey } from "./key.ts";

/** The methods of SyncLocalStore, which says what they do. */
export interface SyncStore extends Disposable {
  readonly location: string;
  has(name: ChunkName): boolean;
  keep(name: ChunkName): boolean;
  get(name: ChunkName, maxBytes?: number, memory?: Uint8Array): StoredChunk | undefined;
  put(name: ChunkName, chunk: StoredChunk): boolean;
  flush(): void;
  /** What a chunk takes up in the store, in bytes. */
  storedBytes(chunk: StoredChunk): number;
}

/** One thread's view of a local store. */
export function openSyncStore({ directory, key }: LocalStorePlace, options: SyncLocalStoreOptions = {}): SyncStore {
  const store = new SyncLocalStore(directory, options);
  return key === undefined ? store : new SyncEncryptedStore(store, key);
}

class SyncEncryptedStore implements SyncStore {
  readonly location: string;
  readonly #store: SyncLocalStore;
  readonly #cipher: StoreCipher;

  constructor(store: SyncLocalStore, key: StoreKey) {
    this.location = store.location;
    this.#store = store;
    this.#cipher = new StoreCipher(key);
  }

  has(name: ChunkName): boolean {
    return this.#store.has(this.#cipher.storedName(name));
  }

  keep(name: ChunkName): boolean {
    return this.#store.keep(this.#cipher.storedName(name));
  }

  get(name: ChunkName, maxBytes: number = maxStoredBytes(), memory?: Uint8Array): StoredChunk | undefined {
    const stored = this.#cipher.storedName(name);
    const found = this.#store.get(stored, maxSealedBytes(maxBytes), memory);
    if (found === undefined) return undefined;
    return this.#cipher.openStored(stored, found, chunkPlace(name, stored, this.location));
  }

  put(name: ChunkName, chunk: StoredChunk): boolean {
    const stored = this.#cipher.storedName(name);
    return this.#store.put(stored, { bytes: this.#cipher.borrowSealed(stored, chunk), compressed: true });
  }

  flush(): void {
    this.#store.flush();
  }

  storedBytes({ bytes }: StoredChunk): number {
    return this.#cipher.sealedBytes(bytes.length);
  }

  [Symbol.dispose](): void {
    this.#store[Symbol.dispose]();
  }
}
