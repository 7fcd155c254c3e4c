/**
 * Chunk stores on anything that keeps whole objects under paths: web servers, object storage, sftp.
 * A driver brings the few calls of ObjectClient; what a chunk store is beyond them is here.
 * @module
 */
import { NetworkError, throwIfAborted } from "@imgtool/core";
import { chunkFolder, chunkPath, checkChunkName, compressedSuffix, isChunkName } from "./chunk-path.ts";
import { maxStoredBytes } from "./limits.ts";
import { refreshAge } from "./local-refresh.ts";
import type { ChunkName, PruneStore, ReadStore, StoredChunk, StoreEntry, WriteStore } from "./store.ts";

export interface ObjectFacts {
  /** Undefined where the server does not say. */
  readonly bytes: number | undefined;
  /** When it was written or renewed, in milliseconds since 1970; undefined where the server does not say. */
  readonly lastUsed: number | undefined;
  /** What changes with the object, such as an ETag; undefined where the server does not say. */
  readonly version?: string | undefined;
}

/** Paths are relative to the store's root and have passed checkChunkName() or come from list(). */
interface ObjectReader {
  readonly location: string;
  /** Undefined when there is none. */
  stat(path: string, signal?: AbortSignal): Promise<ObjectFacts | undefined>;
  /** @param memory that the bytes may be put into: see ReadStore.get() */
  read(path: string, maxBytes: number, signal?: AbortSignal, memory?: Uint8Array): Promise<Uint8Array | undefined>;
  close(): Promise<void>;
}

/** Which bytes of an object are read, and of which of its versions. */
export interface ObjectRange {
  readonly offset: number;
  /** At least one, and none behind the object's end. */
  readonly length: number;
  /** As stat() has said it. */
  readonly version: string;
}

/** Where parts of an object can be read, without others' being mixed in. */
export interface RangeReader extends Pick<ObjectReader, "location" | "stat" | "close"> {
  /** Exactly those bytes; undefined when the object is not of the version any more. */
  readRange(path: string, range: ObjectRange, signal?: AbortSignal): Promise<Uint8Array | undefined>;
}

/** Where whole objects are copied, of any size. */
export interface ObjectCopier {
  /** Writes the object into a new file; false when there is none. */
  copy(path: string, file: string, signal?: AbortSignal): Promise<boolean>;
}

export interface ObjectWriter extends ObjectReader {
  /**
   * Writes an object, whole or not at all. Unless `replace`, one that is there already is left alone where
   * the server can be asked to.
   * @returns whether it was not there before
   */
  create(path: string, bytes: Uint8Array, replace: boolean, signal?: AbortSignal): Promise<boolean>;
  /** Sets the object's time to now; false when it is gone. Undefined where the server cannot. */
  readonly renew?: ((path: string, signal?: AbortSignal) => Promise<boolean>) | undefined;
}

export interface ObjectManager extends ObjectWriter {
  /** Every object below the root, with its relative path. */
  list(signal?: AbortSignal): AsyncGenerator<ObjectFacts & { readonly path: string }, void>;
  /**
   * Removes an object; where the server can be asked to, only if it is still of the version.
   * @returns false when it has changed or is gone
   */
  delete(path: string, version: string | undefined): Promise<boolean>;
}

/** Which files a store has: what is missing costs two requests when it may be either. */
export type ChunkKinds = "compressed" | "plain" | "either";

class ObjectReadStore<Client extends ObjectReader = ObjectReader> implements ReadStore {
  readonly location: string;
  protected readonly client: Client;
  /** The kinds of file to ask for: what was found last comes first. */
  protected kinds: readonly boolean[];

  constructor(client: Client, chunks: ChunkKinds = "either") {
    this.client = client;
    this.location = client.location;
    this.kinds = chunks === "either" ? [true, false] : [chunks === "compressed"];
  }

  async has(name: ChunkName, signal?: AbortSignal): Promise<boolean> {
    return (await this.find(name, signal)) !== undefined;
  }

  async storedSize(name: ChunkName, signal?: AbortSignal): Promise<number | undefined> {
    return (await this.find(name, signal))?.bytes;
  }

  async get(
    name: ChunkName,
    signal?: AbortSignal,
    maxBytes?: number,
    memory?: Uint8Array,
  ): Promise<StoredChunk | undefined> {
    checkChunkName(name);
    const kinds = this.kinds;
    for (const compressed of kinds) {
      throwIfAborted(signal);
      const bytes = await this.client.read(chunkPath(name, compressed), maxBytes ?? maxStoredBytes(), signal, memory);
      // An empty one is none, as for find(); a mark of a missing chunk, a link to /dev/null, is served as such.
      if (bytes === undefined || bytes.length === 0) continue;
      if (compressed !== kinds[0]) this.kinds = [compressed, !compressed];
      return { bytes, compressed };
    }
    return undefined;
  }

  async close(): Promise<void> {
    await this.client.close();
  }

  /** An empty object is none: it is what a cut upload has left. */
  protected async find(
    name: ChunkName,
    signal?: AbortSignal,
  ): Promise<(ObjectFacts & { readonly path: string }) | undefined> {
    checkChunkName(name);
    for (const compressed of this.kinds) {
      throwIfAborted(signal);
      const path = chunkPath(name, compressed);
      const facts = await this.client.stat(path, signal);
      if (facts !== undefined && facts.bytes !== 0) return { ...facts, path };
    }
    return undefined;
  }
}

export class ObjectWriteStore<Client extends ObjectWriter = ObjectWriter>
  extends ObjectReadStore<Client>
  implements WriteStore
{
  /** Old chunks that this writer has renewed and flush() looks at once more. */
  readonly #renewed = new Set<string>();

  async keep(name: ChunkName, signal?: AbortSignal): Promise<boolean> {
    const found = await this.find(name, signal);
    if (found === undefined) return false;
    if (this.client.renew === undefined || Date.now() - (found.lastUsed ?? Date.now()) < refreshAge) return true;
    if (!(await this.client.renew(found.path, signal))) return false;
    this.#renewed.add(found.path);
    return true;
  }

  async put(name: ChunkName, chunk: StoredChunk, signal?: AbortSignal): Promise<boolean> {
    const path = chunkPath(name, chunk.compressed);
    throwIfAborted(signal);
    if (await this.client.create(path, chunk.bytes, false, signal)) return true;
    if (await this.keep(name, signal)) return false;
    // an empty object was in the way, or a prune was faster
    await this.client.create(path, chunk.bytes, true, signal);
    return true;
  }

  /**
   * Servers answer a write when it is safe, but a prune may have decided to delete an old chunk in the
   * moment before it was renewed: those are looked at once more before an index names them.
   * @throws NetworkError `chunk-removed-meanwhile`
   */
  async flush(): Promise<void> {
    for (const path of this.#renewed) {
      if ((await this.client.stat(path)) === undefined) {
        throw new NetworkError(`a prune has removed ${path} from ${this.location} meanwhile`, {
          code: "chunk-removed-meanwhile",
          hint: "run again: the chunk will be stored anew",
          data: { store: this.location, path },
        });
      }
    }
    this.#renewed.clear();
  }
}

export class ObjectPruneStore extends ObjectWriteStore<ObjectManager> implements PruneStore {
  async *list(signal?: AbortSignal): AsyncGenerator<StoreEntry, void> {
    throwIfAborted(signal);
    for await (const { path, bytes = 0, lastUsed = Date.now() } of this.client.list(signal)) {
      throwIfAborted(signal);
      yield entryOf(path, bytes, lastUsed);
    }
  }

  async remove(entry: Exclude<StoreEntry, { kind: "stray" }>, unusedSince: number): Promise<boolean> {
    const facts = await this.client.stat(entry.path);
    if (facts === undefined || (facts.lastUsed ?? Date.now()) >= unusedSince) return false;
    return this.client.delete(entry.path, facts.version);
  }
}

/** What the name of an object that is being uploaded to be renamed looks like. */
const uploadPattern: RegExp = /^[0-9a-f]{4}\/\.tmp-[0-9a-f]{16}-[0-9a-f]+$/;

function entryOf(path: string, bytes: number, lastUsed: number): StoreEntry {
  const compressed = path.endsWith(compressedSuffix);
  const name = path.slice(5, compressed ? -compressedSuffix.length : undefined);
  if (isChunkName(name) && path.startsWith(`${chunkFolder(name)}/`))
    return { kind: "chunk", path, name, compressed, bytes, lastUsed };
  if (uploadPattern.test(path)) return { kind: "unfinished", path, bytes, lastUsed };
  return { kind: "stray", path, reason: "not the name of a chunk" };
}
