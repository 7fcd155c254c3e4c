/**
 * CacheStore=: what Incremental= keeps, in a chunk store that machines share. A tree is a casync archive in
 * chunks, a file a blob; under a name made of its inputs the store also holds one chunk more, the entry: what
 * is known of the tree, and its index.
 *
 * The chunks are verified by the index, and so is the entry's place: it says of itself what it was made of.
 * That an entry is what it says is up to whoever may write to the store, as with every shared cache.
 * @module
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { errorMessage, FormatError, ImgtoolError, NotFoundError, type Progress } from "@imgtool/core";
import { compressChunk, decompressChunk, openStore, openWriteStore, shownLocation } from "@imgtool/store";
import { extractBlob, extractTree, makeBlob, makeTree, parseIndex } from "@imgtool/sync";
import { digestText } from "./digests.ts";

export interface TreeStoreOptions {
  /** Location of the store: a path, or a URL. */
  readonly location: string;
  /** Names the entry: a digest of all that the kept thing depends on. */
  readonly key: string;
  readonly progress: Progress;
  readonly signal: AbortSignal | undefined;
}

/** More than the entry of any image has; bytes. */
const maxEntryBytes = 64 * 1024 ** 2;
const magic = "imgtool kept 1\n";

/** A build does not wait long for a server that would only save it time. */
const patience = { retries: 1, connectTimeout: 5000 };

interface Entry {
  readonly key: string;
  /** JSON that was given along. */
  readonly details: unknown;
}

/**
 * Fetches what the store holds under the key to `target`, an empty folder or a path that is not there.
 * @returns what was given along with it; undefined when the store has no such entry, or cannot be used, which
 *   is said: a cache is no reason to fail
 */
export async function fetchKept(
  kind: "tree" | "file",
  target: string,
  options: TreeStoreOptions,
): Promise<{ readonly details: unknown } | undefined> {
  const { location, key, progress, signal } = options;
  try {
    const store = await openStore(location, patience);
    try {
      const stored = await store.get(entryName(kind, key), signal, maxEntryBytes);
      if (stored === undefined) return undefined;
      const { entry, index } = decodeEntry(decompressChunk(stored, maxEntryBytes), key);
      const common = { progress, ...(signal === undefined ? {} : { signal }) };
      if (kind === "tree") {
        const source = { index: parseIndex(index, location), stores: [store] };
        await extractTree({ ...common, source, target, durable: false, seedOutput: false });
      } else await extractBlob({ ...common, index: parseIndex(index, location), stores: [store], output: target });
      return { details: entry.details };
    } finally {
      await store.close();
    }
  } catch (error) {
    // It is made when the first thing is kept there.
    if (error instanceof NotFoundError && error.code === "store-missing") return undefined;
    return ignored(error, "read", options);
  }
}

/** Puts a tree or file under the key, with `details`; only what the store lacks is written. Failing is said only. */
export async function keepShared(
  kind: "tree" | "file",
  source: string,
  details: unknown,
  options: TreeStoreOptions,
): Promise<void> {
  const { location, key, progress, signal } = options;
  const folder = await mkdtemp(join(tmpdir(), "imgtool-keep-"));
  try {
    const store = await openWriteStore(location, { ...patience, create: true });
    try {
      const index = join(folder, "index");
      const common = {
        source,
        index,
        store: store.place ?? store,
        progress,
        ...(signal === undefined ? {} : { signal }),
      };
      if (kind === "tree") await makeTree(common);
      else await makeBlob(common);
      const bytes = encodeEntry({ key, details }, await readFile(index));
      await store.put(entryName(kind, key), compressChunk(bytes), signal);
      await store.flush();
    } finally {
      await store.close();
    }
  } catch (error) {
    ignored(error, "written to", options);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The name of a chunk that no content has: that of the key. */
function entryName(kind: "tree" | "file", key: string): string {
  return digestText(`${magic}${kind}\n${key}`);
}

function encodeEntry(entry: Entry, index: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`${magic}${JSON.stringify(entry)}\n`), index]);
}

/** @throws FormatError `kept-invalid` for what no build has put there */
function decodeEntry(bytes: Uint8Array, key: string): { readonly entry: Entry; readonly index: Uint8Array } {
  const end = bytes.indexOf(0x0a, magic.length);
  const text = Buffer.from(bytes.subarray(0, Math.max(end, 0))).toString();
  try {
    if (!text.startsWith(magic)) throw new SyntaxError("it has another beginning");
    const entry = JSON.parse(text.slice(magic.length)) as Entry;
    if (entry.key !== key) throw new SyntaxError(`it was made for the key ${entry.key}`);
    return { entry, index: bytes.subarray(end + 1) };
  } catch (cause) {
    throw new FormatError(`what is kept under the key ${key} was not put there by a build: ${errorMessage(cause)}`, {
      code: "kept-invalid",
      data: { key },
      cause,
    });
  }
}

/** Aborts and bugs go on; all else costs what the cache would have saved. */
function ignored(
  error: unknown,
  done: "read" | "written to",
  { location, progress, signal }: TreeStoreOptions,
): undefined {
  if (signal?.aborted === true || !(error instanceof ImgtoolError)) throw error;
  progress.log("warning", `the cache store ${shownLocation(location)} cannot be ${done}: ${error.message}`, error.hint);
  return undefined;
}
