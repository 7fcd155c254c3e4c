/**
 * A chunk store in a local directory, synchronously: for the worker threads of the chunk pipeline,
 * which write the chunks they compress. The asynchronous driver is local.ts.
 *
 * A durable put does not show a chunk under its name before its bytes are on the disk: otherwise a
 * crash could leave an empty file that later runs take for the chunk. Chunks are flushed in batches,
 * so that a journalling file system commits once for many.
 * @module
 */
import {
  closeSync,
  fstatSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { systemErrorCode } from "@imgtool/core";
import { chunkFolder, chunkPath, compressedSuffix } from "./chunk-path.ts";
import { maxStoredBytes } from "./limits.ts";
import { checkChunkFile, checkFolder, isNullDevice, readFlags } from "./local-entries.ts";
import { notThere, storeError, temporaryNames } from "./local-errors.ts";
import { keepChunkFile } from "./local-refresh.ts";
import type { ChunkName, StoredChunk } from "./store.ts";

/** Open files of a batch: more do not flush faster, and a process often has only 1024. */
const batchFiles = 128;
const batchBytes: number = 32 * 1024 ** 2;

interface Pending {
  readonly descriptor: number;
  readonly temporary: string;
  readonly final: string;
  readonly bytes: number;
}

export interface SyncLocalStoreOptions {
  /** Whether flush() leaves nothing that a crash of the machine could lose. Default true. */
  readonly durable?: boolean;
}

/** Folders after which all are listed at once: a store has up to 65,536, and most chunks one of their own. */
const worthListing = 500;

/** One thread's view of a local store. Several, in several threads or processes, may share a store. */
export class SyncLocalStore implements Disposable {
  readonly location: string;
  readonly #durable: boolean;
  readonly #nextTemporary: () => string = temporaryNames();
  readonly #pending = new Map<string, Pending>();
  readonly #folders = new Set<string>();
  readonly #touched = new Set<string>();
  #pendingBytes = 0;
  /** Folders that were looked for one by one. */
  #looks = 0;

  constructor(path: string, options: SyncLocalStoreOptions = {}) {
    this.location = path;
    this.#durable = options.durable ?? true;
  }

  /** Whether the store holds the chunk, or is about to. A file without content does not count. */
  has(name: ChunkName): boolean {
    if (this.#pending.has(name)) return true;
    try {
      if (!this.#hasFolder(chunkFolder(name))) return false;
      return (
        holdsChunk(join(this.location, chunkPath(name))) || holdsChunk(join(this.location, chunkPath(name, false)))
      );
    } catch (error) {
      throw storeError(error, "read", this.location);
    }
  }

  /** has() for a writer: what is there is safe from a prune that runs beside, see WriteStore.keep(). */
  keep(name: ChunkName): boolean {
    if (this.#pending.has(name)) return true;
    try {
      if (!this.#hasFolder(chunkFolder(name))) return false;
      return (
        keepChunkFile(join(this.location, chunkPath(name))) ||
        keepChunkFile(join(this.location, chunkPath(name, false)))
      );
    } catch (error) {
      throw storeError(error, "write", this.location);
    }
  }

  /**
   * The chunk's stored bytes, unverified; undefined when the store does not hold it.
   * @param memory that they are read into where they fit, instead of new memory
   * @throws FormatError `store-entry-invalid` for links, special files and files larger than `maxBytes`
   */
  get(name: ChunkName, maxBytes: number = maxStoredBytes(), memory?: Uint8Array): StoredChunk | undefined {
    const pending = this.#pending.get(name);
    try {
      if (pending !== undefined)
        return readChunkFile(pending.temporary, pending.final.endsWith(compressedSuffix), maxBytes, memory);
      if (!this.#hasFolder(chunkFolder(name))) return undefined;
      return (
        readChunkFile(join(this.location, chunkPath(name)), true, maxBytes, memory) ??
        readChunkFile(join(this.location, chunkPath(name, false)), false, maxBytes, memory)
      );
    } catch (error) {
      throw storeError(error, "read", this.location);
    }
  }

  /** As get(), of one of the two files that can hold a chunk. */
  read(name: ChunkName, compressed: boolean, maxBytes: number = maxStoredBytes()): StoredChunk | undefined {
    try {
      if (!this.#hasFolder(chunkFolder(name))) return undefined;
      return readChunkFile(join(this.location, chunkPath(name, compressed)), compressed, maxBytes);
    } catch (error) {
      throw storeError(error, "read", this.location);
    }
  }

  /**
   * Stores the bytes under the name; a chunk that is there already is kept. When the store is
   * durable, other threads see the chunk after the batch is full or flush() is called.
   * @returns whether the chunk is new
   * @throws EnvironmentError `no-space`, `store-not-writable` or `store-failed`
   */
  put(name: ChunkName, chunk: StoredChunk): boolean {
    if (this.keep(name)) return false;
    const final = join(this.location, chunkPath(name, chunk.compressed));
    const temporary = join(this.location, chunkFolder(name), this.#nextTemporary());
    try {
      const descriptor = this.#create(temporary, chunkFolder(name));
      this.#pending.set(name, { descriptor, temporary, final, bytes: chunk.bytes.length });
      this.#pendingBytes += chunk.bytes.length;
      for (let offset = 0; offset < chunk.bytes.length;) offset += writeSync(descriptor, chunk.bytes, offset);
      if (!this.#durable) return this.#publish(name);
    } catch (error) {
      this.#drop(name);
      throw storeError(error, "write", this.location);
    }
    if (this.#pending.size >= batchFiles || this.#pendingBytes >= batchBytes) this.#commit();
    return true;
  }

  /** Makes everything put so far visible and, when the store is durable, safe from a crash. */
  flush(): void {
    this.#commit();
    if (!this.#durable || this.#touched.size === 0) return;
    try {
      for (const folder of this.#touched) flushFolder(join(this.location, folder));
      flushFolder(this.location);
    } catch (error) {
      throw storeError(error, "write", this.location);
    }
    this.#touched.clear();
  }

  /** What a chunk takes up in the store, in bytes. */
  storedBytes({ bytes }: StoredChunk): number {
    return bytes.length;
  }

  /** Removes what was put and not flushed yet: for a run that ends early. */
  [Symbol.dispose](): void {
    for (const name of this.#pending.keys()) this.#drop(name);
  }

  #create(temporary: string, folder: string): number {
    if (!this.#hasFolder(folder)) {
      try {
        mkdirSync(join(this.location, folder));
      } catch (error) {
        // another writer was faster
        if (systemErrorCode(error) !== "EEXIST") throw error;
      }
    }
    this.#touched.add(folder);
    try {
      return openSync(temporary, "wx", 0o444);
    } catch (error) {
      if (systemErrorCode(error) !== "ENOENT") throw error;
      // a prune has removed the folder because it was empty
      mkdirSync(join(this.location, folder), { recursive: true });
      return openSync(temporary, "wx", 0o444);
    }
  }

  #commit(): void {
    try {
      if (this.#durable) for (const { descriptor } of this.#pending.values()) fsyncSync(descriptor);
      for (const name of this.#pending.keys()) this.#publish(name);
    } catch (error) {
      this[Symbol.dispose]();
      throw storeError(error, "write", this.location);
    }
  }

  #publish(name: ChunkName): boolean {
    const pending = this.#take(name);
    if (pending === undefined) return false;
    try {
      return moveInto(pending.temporary, pending.final);
    } catch (error) {
      removeQuietly(pending.temporary);
      throw error;
    }
  }

  #drop(name: ChunkName): void {
    const pending = this.#take(name);
    if (pending !== undefined) removeQuietly(pending.temporary);
  }

  #take(name: ChunkName): Pending | undefined {
    const pending = this.#pending.get(name);
    if (pending === undefined) return undefined;
    this.#pending.delete(name);
    this.#pendingBytes -= pending.bytes;
    closeSync(pending.descriptor);
    return pending;
  }

  #listFolders(): void {
    for (const entry of readdirSync(this.location, { withFileTypes: true }))
      if (entry.isDirectory()) this.#folders.add(entry.name);
  }

  /** Whether the chunk's folder is there; a link in its place is refused. */
  #hasFolder(folder: string): boolean {
    if (this.#folders.has(folder)) return true;
    if (++this.#looks === worthListing) this.#listFolders();
    if (this.#folders.has(folder)) return true;
    const path = join(this.location, folder);
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats === undefined) return false;
    checkFolder(path, stats);
    this.#folders.add(folder);
    return true;
  }
}

/** lstat of a chunk's file that counts: regular, with content. */
function holdsChunk(path: string): boolean {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  return stats !== undefined && stats.isFile() && stats.size > 0;
}

function readChunkFile(
  path: string,
  compressed: boolean,
  maxBytes: number,
  memory?: Uint8Array,
): StoredChunk | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(path, readFlags);
  } catch (error) {
    if (notThere(error)) return undefined;
    if (systemErrorCode(error) !== "ELOOP") throw error;
    if (!isNullDevice(statSync(path, { throwIfNoEntry: false }))) checkChunkFile(path, lstatSync(path), maxBytes);
    return undefined;
  }
  try {
    const stats = fstatSync(descriptor);
    checkChunkFile(path, stats, maxBytes);
    return stats.size === 0 ? undefined : { bytes: readWhole(descriptor, stats.size, memory), compressed };
  } finally {
    closeSync(descriptor);
  }
}

/** The bytes of a file of that length: fewer when it has become shorter, never more. */
function readWhole(descriptor: number, size: number, memory: Uint8Array | undefined): Uint8Array {
  const target = memory !== undefined && memory.length >= size ? memory : Buffer.allocUnsafeSlow(size);
  let filled = 0;
  for (let count = -1; count !== 0 && filled < size; filled += count) {
    count = readSync(descriptor, target, filled, size - filled, filled);
  }
  return target.subarray(0, filled);
}

/**
 * Gives a whole file its final name without replacing one that is there.
 * @returns false when a chunk was there
 */
function moveInto(temporary: string, final: string): boolean {
  try {
    linkSync(temporary, final);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === "EEXIST" && keepChunkFile(final)) {
      unlinkSync(temporary);
      return false;
    }
    // An empty file is what a crash leaves of a chunk: replace it; so is an old one of another user,
    // which cannot be kept in any other way. File systems without hard links (vfat, some FUSE): a
    // rename can replace only the same chunk, written at the same moment.
    if (code !== "EEXIST" && code !== "EPERM" && code !== "ENOTSUP" && code !== "EMLINK") throw error;
    renameSync(temporary, final);
    return true;
  }
  unlinkSync(temporary);
  return true;
}

function removeQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // it has its final name, or the file system is gone: nothing is left to remove
  }
}

function flushFolder(path: string): void {
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
