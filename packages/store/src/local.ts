/**
 * Driver: a chunk store in a local directory.
 *
 * Chunks are written under a temporary name in the folder they belong to and linked to their name,
 * which never replaces a chunk; files have mode 0444. Several processes may write to a store at once.
 * @module
 */
import { lstat, link, mkdir, open, rename, stat, unlink, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { ConfigError, NotFoundError, systemErrorCode, throwIfAborted } from "@imgtool/core";
import { flush } from "@imgtool/host";
import { chunkFolder, chunkPath } from "./chunk-path.ts";
import { maxStoredBytes } from "./limits.ts";
import { checkChunkFile, checkFolder, isNullDevice, readFlags } from "./local-entries.ts";
import { notThere, storeError, temporaryNames } from "./local-errors.ts";
import { listFolder, listRoot } from "./local-list.ts";
import { keepChunkFileAsync } from "./local-refresh.ts";
import { removeFile } from "./local-remove.ts";
import type { ChunkName, LocalStorePlace, PruneStore, StoredChunk, StoreEntry } from "./store.ts";

export interface LocalStoreOptions {
  /** Whether put() and flush() wait until a crash of the machine could lose nothing. Default true. */
  readonly durable?: boolean;
  /** Whether to make the directory when it is not there. Default false. */
  readonly create?: boolean;
}

/**
 * Opens a directory as a chunk store.
 * @throws NotFoundError `store-missing`; ConfigError `store-not-a-directory`; EnvironmentError
 */
export async function openLocalStore(path: string, options: LocalStoreOptions = {}): Promise<PruneStore> {
  try {
    if (options.create === true) await mkdir(path, { recursive: true });
    const stats = await stat(path);
    if (stats.isDirectory()) return new LocalStore(path, options.durable ?? true);
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT") {
      if (systemErrorCode(error) !== "EEXIST" && systemErrorCode(error) !== "ENOTDIR")
        throw storeError(error, options.create === true ? "write" : "read", path);
    } else {
      throw new NotFoundError(`there is no chunk store at ${path}`, {
        code: "store-missing",
        hint: "check the path, or make the store by publishing to it",
        data: { store: path },
        cause: error,
      });
    }
  }
  throw new ConfigError(`not a chunk store: ${path} is no directory`, {
    code: "store-not-a-directory",
    data: { store: path },
  });
}

class LocalStore implements PruneStore {
  readonly location: string;
  readonly place: LocalStorePlace;
  readonly #durable: boolean;
  readonly #nextTemporary: () => string = temporaryNames();
  readonly #folders = new Set<string>();
  readonly #touched = new Set<string>();

  constructor(path: string, durable: boolean) {
    this.location = path;
    this.place = { directory: path };
    this.#durable = durable;
  }

  async has(name: ChunkName, signal?: AbortSignal): Promise<boolean> {
    throwIfAborted(signal);
    const [compressed, plain] = this.#paths(name);
    try {
      if (!(await this.#hasFolder(chunkFolder(name)))) return false;
      return (await holdsChunk(compressed)) || (await holdsChunk(plain));
    } catch (error) {
      throw storeError(error, "read", this.location);
    }
  }

  async keep(name: ChunkName, signal?: AbortSignal): Promise<boolean> {
    throwIfAborted(signal);
    const [compressed, plain] = this.#paths(name);
    try {
      if (!(await this.#hasFolder(chunkFolder(name)))) return false;
      return (await keepChunkFileAsync(compressed)) || (await keepChunkFileAsync(plain));
    } catch (error) {
      throw storeError(error, "write", this.location);
    }
  }

  async get(name: ChunkName, signal?: AbortSignal, maxBytes?: number): Promise<StoredChunk | undefined> {
    throwIfAborted(signal);
    const [compressed, plain] = this.#paths(name);
    const limit = maxBytes ?? maxStoredBytes();
    try {
      if (!(await this.#hasFolder(chunkFolder(name)))) return undefined;
      const chunk = (await readChunkFile(compressed, true, limit)) ?? (await readChunkFile(plain, false, limit));
      throwIfAborted(signal);
      return chunk;
    } catch (error) {
      throw storeError(error, "read", this.location);
    }
  }

  async put(name: ChunkName, chunk: StoredChunk, signal?: AbortSignal): Promise<boolean> {
    if (await this.keep(name, signal)) return false;
    const folder = chunkFolder(name);
    const temporary = join(this.location, folder, this.#nextTemporary());
    try {
      const handle = await this.#create(temporary, folder);
      try {
        await writeWhole(handle, chunk.bytes, this.#durable);
        throwIfAborted(signal);
        return await moveInto(temporary, join(this.location, chunkPath(name, chunk.compressed)));
      } catch (error) {
        await removeQuietly(temporary);
        throw error;
      }
    } catch (error) {
      throw storeError(error, "write", this.location);
    }
  }

  async flush(): Promise<void> {
    if (!this.#durable || this.#touched.size === 0) return;
    const folders = [...this.#touched];
    this.#touched.clear();
    try {
      for (const folder of folders) await flush(join(this.location, folder));
      await flush(this.location);
    } catch (error) {
      throw storeError(error, "write", this.location);
    }
  }

  async *list(signal?: AbortSignal): AsyncGenerator<StoreEntry, void> {
    try {
      const { folders, strays } = listRoot(this.location);
      yield* strays;
      for (const folder of ["", ...folders]) {
        // The calls below do not wait: others get their turn.
        await setImmediate();
        throwIfAborted(signal);
        if (folder !== "") yield* listFolder(this.location, folder);
      }
    } catch (error) {
      throw storeError(error, "read", this.location);
    }
  }

  async remove(entry: Exclude<StoreEntry, { kind: "stray" }>, unusedSince: number): Promise<boolean> {
    try {
      return removeFile(entry, unusedSince);
    } catch (error) {
      throw storeError(error, "write", this.location);
    }
  }

  async close(): Promise<void> {}

  #paths(name: ChunkName): readonly [string, string] {
    return [join(this.location, chunkPath(name)), join(this.location, chunkPath(name, false))];
  }

  async #hasFolder(folder: string): Promise<boolean> {
    if (this.#folders.has(folder)) return true;
    const path = join(this.location, folder);
    try {
      checkFolder(path, await lstat(path));
    } catch (error) {
      if (systemErrorCode(error) === "ENOENT") return false;
      throw error;
    }
    this.#folders.add(folder);
    return true;
  }

  async #create(temporary: string, folder: string): Promise<FileHandle> {
    if (!(await this.#hasFolder(folder))) {
      try {
        await mkdir(join(this.location, folder));
      } catch (error) {
        // another writer was faster
        if (systemErrorCode(error) !== "EEXIST") throw error;
      }
    }
    this.#touched.add(folder);
    try {
      return await open(temporary, "wx", 0o444);
    } catch (error) {
      if (systemErrorCode(error) !== "ENOENT") throw error;
      // a prune has removed the folder because it was empty
      await mkdir(join(this.location, folder), { recursive: true });
      return open(temporary, "wx", 0o444);
    }
  }
}

async function writeWhole(handle: FileHandle, bytes: Uint8Array, durable: boolean): Promise<void> {
  try {
    await handle.writeFile(bytes);
    // before the chunk gets its name: see local-files.ts
    if (durable) await handle.sync();
  } finally {
    await handle.close();
  }
}

async function holdsChunk(path: string): Promise<boolean> {
  try {
    const stats = await lstat(path);
    return stats.isFile() && stats.size > 0;
  } catch (error) {
    if (notThere(error)) return false;
    throw error;
  }
}

async function readChunkFile(path: string, compressed: boolean, maxBytes: number): Promise<StoredChunk | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(path, readFlags);
  } catch (error) {
    if (notThere(error)) return undefined;
    if (systemErrorCode(error) !== "ELOOP") throw error;
    if (!isNullDevice(await stat(path).catch(() => undefined))) checkChunkFile(path, await lstat(path), maxBytes);
    return undefined;
  }
  try {
    const stats = await handle.stat();
    checkChunkFile(path, stats, maxBytes);
    return stats.size === 0 ? undefined : { bytes: await handle.readFile(), compressed };
  } finally {
    await handle.close();
  }
}

/** As in local-files.ts: gives a whole file its final name; false when a chunk was there. */
async function moveInto(temporary: string, final: string): Promise<boolean> {
  try {
    await link(temporary, final);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === "EEXIST" && (await keepChunkFileAsync(final))) {
      await unlink(temporary);
      return false;
    }
    if (code !== "EEXIST" && code !== "EPERM" && code !== "ENOTSUP" && code !== "EMLINK") throw error;
    await rename(temporary, final);
    return true;
  }
  await unlink(temporary);
  return true;
}

async function removeQuietly(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch {
    // it has its final name, or the file system is gone: nothing is left to remove
  }
}
