/**
 * Encryption around any store: chunks get other names and other bytes there, and whoever holds this store
 * sees nothing of it. What the inner store hands out is not trusted.
 * @module
 */
import { maxStoredBytes } from "../limits.ts";
import type {
  ChunkName,
  LocalStorePlace,
  PruneStore,
  ReadStore,
  StoredChunk,
  StoreEntry,
  WriteStore,
} from "../store.ts";
import { chunkPlace, maxSealedBytes, StoreCipher } from "./cipher.ts";
import type { StoreKey } from "./key.ts";

/**
 * The store with its chunks encrypted; what the inner one can do (write, list, prune), it can do, too.
 * Closing it closes the inner one. The names in list() and remove() are those of the inner store:
 * listedName() maps to them.
 * @throws from get(), as StoreCipher.openChunk()
 */
export function encryptStore(store: PruneStore, key: StoreKey): PruneStore;
export function encryptStore(store: WriteStore, key: StoreKey): WriteStore;
export function encryptStore(store: ReadStore, key: StoreKey): ReadStore;
export function encryptStore(store: ReadStore | WriteStore | PruneStore, key: StoreKey): ReadStore {
  if ("list" in store) return new EncryptedPruneStore(store, key);
  return "put" in store ? new EncryptedWriteStore(store, key) : new EncryptedReadStore(store, key);
}

class EncryptedReadStore<Inner extends ReadStore = ReadStore> implements ReadStore {
  readonly location: string;
  readonly place: LocalStorePlace | undefined;
  protected readonly inner: Inner;
  protected readonly cipher: StoreCipher;

  constructor(inner: Inner, key: StoreKey) {
    this.inner = inner;
    this.location = inner.location;
    this.place = inner.place === undefined ? undefined : { directory: inner.place.directory, key };
    this.cipher = new StoreCipher(key);
  }

  get statistics(): unknown {
    return "statistics" in this.inner ? this.inner.statistics : undefined;
  }

  async has(name: ChunkName, signal?: AbortSignal): Promise<boolean> {
    return this.inner.has(this.stored(name), signal);
  }

  async get(name: ChunkName, signal?: AbortSignal, maxBytes?: number): Promise<StoredChunk | undefined> {
    const stored = this.stored(name);
    const found = await this.inner.get(stored, signal, maxSealedBytes(maxBytes ?? maxStoredBytes()));
    if (found === undefined) return undefined;
    return this.cipher.openStored(stored, found, chunkPlace(name, stored, this.location));
  }

  storedBytes({ bytes }: StoredChunk): number {
    return this.cipher.sealedBytes(bytes.length);
  }

  close(): Promise<void> {
    return this.inner.close();
  }

  protected stored(name: ChunkName): ChunkName {
    return this.cipher.storedName(name);
  }
}

class EncryptedWriteStore<Inner extends WriteStore = WriteStore>
  extends EncryptedReadStore<Inner>
  implements WriteStore
{
  async keep(name: ChunkName, signal?: AbortSignal): Promise<boolean> {
    return this.inner.keep(this.stored(name), signal);
  }

  async put(name: ChunkName, chunk: StoredChunk, signal?: AbortSignal): Promise<boolean> {
    const stored = this.stored(name);
    return this.inner.put(stored, { bytes: this.cipher.sealChunk(stored, chunk), compressed: true }, signal);
  }

  flush(): Promise<void> {
    return this.inner.flush();
  }
}

class EncryptedPruneStore extends EncryptedWriteStore<PruneStore> implements PruneStore {
  listedName(name: ChunkName): ChunkName {
    return this.stored(name);
  }

  list(signal?: AbortSignal): AsyncGenerator<StoreEntry, void> {
    return this.inner.list(signal);
  }

  remove(entry: Exclude<StoreEntry, { kind: "stray" }>, unusedSince: number): Promise<boolean> {
    return this.inner.remove(entry, unusedSince);
  }
}
