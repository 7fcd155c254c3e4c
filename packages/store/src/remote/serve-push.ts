/**
 * The side that is written to: what `casync push` does when another machine has started it.
 * @module
 */
import { type FileHandle, open, readFile } from "node:fs/promises";
import { type ChunkIndex, decodeIndex, IdTable } from "@imgtool/chunker";
import { FormatError, NotFoundError, throwIfAborted } from "@imgtool/core";
import { makeAtomically } from "@imgtool/host";
import { compressChunk } from "../codecs.ts";
import { openChunk } from "../read-chunk.ts";
import type { ReadStore, WriteStore } from "../store.ts";
import { type Channel, type Connection, withConnection } from "./connection.ts";
import { remoteFeatures } from "./features.ts";

export interface ServePushOptions {
  readonly channel: Channel;
  /** Paths of the files to write. */
  readonly archive?: string | undefined;
  readonly index?: string | undefined;
  /** Where the index's chunks go. */
  readonly store?: WriteStore | undefined;
  /** Chunks that these hold are not asked for. */
  readonly extraStores?: readonly ReadStore[] | undefined;
  /** Largest index in bytes that is taken. Default 512 MiB, as for all indexes. */
  readonly maxIndexSize?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

const defaultMaxIndexSize: number = 512 * 1024 ** 2;

/** Chunks that are asked for before the first of them has come. */
const requestBatch = 256;

/**
 * Takes an index and asks for those of its chunks that the stores lack, or takes an archive. Every
 * chunk is verified; the index gets its name when all of them are safe.
 * @throws FormatError `protocol-…`, `index-…`; IntegrityError `chunk-altered`; NotFoundError
 *   `chunk-missing`; NetworkError; what the store throws. The peer is told, and the files are as they were.
 */
export async function servePush(options: ServePushOptions): Promise<void> {
  const { channel, archive, index, store, signal } = options;
  const offered =
    (store === undefined ? 0n : remoteFeatures.writableStore) |
    (index === undefined ? 0n : remoteFeatures.writableIndex) |
    (archive === undefined ? 0n : remoteFeatures.writableArchive);
  await withConnection(channel, signal, async (connection) => {
    await connection.greet(offered);
    const pushed = connection.remoteFeatures;
    if (index !== undefined && (pushed & remoteFeatures.pushIndex) !== 0n) {
      const withChunks = (pushed & remoteFeatures.pushIndexChunks) !== 0n;
      await makeAtomically(index, (temporary) => takeIndex(connection, temporary, withChunks, options));
    }
    if (archive !== undefined && (pushed & remoteFeatures.pushArchive) !== 0n) {
      await makeAtomically(archive, (temporary) => takeFile(connection, "archive", temporary, Infinity, signal));
    }
    await connection.send({ type: "goodbye" });
  });
}

async function takeFile(
  connection: Connection,
  kind: "index" | "archive",
  path: string,
  maxSize: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  await using file: FileHandle = await open(path, "wx");
  let size = 0;
  for (;;) {
    throwIfAborted(signal);
    const message = await connection.next();
    if (message.type === `${kind}-end`) return;
    if (message.type !== kind) throw connection.unexpected(message);
    size += message.bytes.length;
    if (size > maxSize) {
      throw new FormatError(`the ${kind} that ${connection.name} sends has more than ${maxSize} bytes`, {
        code: "remote-too-large",
        data: { peer: connection.name, expected: maxSize },
      });
    }
    await file.writeFile(message.bytes);
  }
}

async function takeIndex(
  connection: Connection,
  path: string,
  withChunks: boolean,
  options: ServePushOptions,
): Promise<void> {
  await takeFile(connection, "index", path, options.maxIndexSize ?? defaultMaxIndexSize, options.signal);
  const index = decodeIndex(await readFile(path), { name: `the index from ${connection.name}` });
  if (!withChunks || options.store === undefined) return;
  await takeChunks(connection, index, options.store, options);
  await options.store.flush();
}

/** Asks for the chunks that are missing, some ahead of those that come. */
async function takeChunks(
  connection: Connection,
  index: ChunkIndex,
  store: WriteStore,
  options: ServePushOptions,
): Promise<void> {
  const awaited = new Map<string, number>();
  const missing = missingChunks(index, store, options);
  let next = await missing.next();
  while (next.done !== true || awaited.size > 0) {
    if (awaited.size <= requestBatch / 2) {
      const names: string[] = [];
      while (next.done !== true && awaited.size < requestBatch) {
        const { name, size } = next.value;
        awaited.set(name, size);
        names.push(name);
        next = await missing.next();
      }
      if (names.length > 0) await connection.send({ type: "request", urgent: false, names });
      if (awaited.size === 0) return;
    }
    const message = await connection.next();
    const size = message.type === "chunk" || message.type === "missing" ? awaited.get(message.name) : undefined;
    if (size === undefined) throw connection.unexpected(message);
    if (message.type === "chunk") {
      awaited.delete(message.name);
      const { name } = message;
      const plain = openChunk(message, name, size, index.digest, connection.name);
      await store.put(name, message.compressed ? message : compressChunk(plain), options.signal);
    } else if (message.type === "missing") {
      throw new NotFoundError(`${connection.name} lacks chunk ${message.name}, which its index names`, {
        code: "chunk-missing",
        data: { peer: connection.name, chunk: message.name },
      });
    }
  }
}

/** The different chunks of an index that no store holds, in its order. */
async function* missingChunks(
  index: ChunkIndex,
  store: WriteStore,
  { extraStores = [], signal }: ServePushOptions,
): AsyncGenerator<{ readonly name: string; readonly size: number }, void> {
  const seen = new IdTable(index.count);
  search: for (let i = 0; i < index.count; i++) {
    const before = seen.count;
    if (seen.add(index.id(i)) < before) continue;
    const name = index.name(i);
    if (await store.keep(name, signal)) continue;
    for (const extra of extraStores) if (await extra.has(name, signal)) continue search;
    yield { name, size: index.size(i) };
  }
}
