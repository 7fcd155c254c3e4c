/**
 * Writing to another machine in casync's remote protocol: an index, of whose chunks the other side
 * asks for those that it lacks, or an archive.
 * @module
 */
import { readFile } from "node:fs/promises";
import { type ChunkIndex, decodeIndex, IdTable } from "@imgtool/chunker";
import { fromHex, NetworkError, NotFoundError, silentProgress, type Progress, type Task } from "@imgtool/core";
import type { ReadStore } from "../store.ts";
import { type Connect, type Connection, passGone, withConnection } from "./connection.ts";
import { remoteFeatures } from "./features.ts";
import type { Message } from "./messages.ts";
import { sendFile } from "./serve-pull.ts";

export interface PushIndexOptions {
  readonly connect: Connect;
  /** Path of the index file here. */
  readonly source: string;
  /** Path of the index on the other machine. */
  readonly index: string;
  /** Path of the store there; none: the index alone is written. */
  readonly store?: string | undefined;
  /** Holds the chunks of the index. */
  readonly chunks?: ReadStore | undefined;
  readonly progress?: Progress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PushedIndex {
  /** Chunks that the other machine has asked for, and their stored bytes. */
  readonly chunksSent: number;
  readonly bytesSent: number;
}

/**
 * Writes an index to another machine, after the chunks that its store lacks.
 * @throws NetworkError; FormatError `protocol-…`; NotFoundError `chunk-missing`; AbortedError
 */
export async function pushIndex(options: PushIndexOptions): Promise<PushedIndex> {
  const { connect, source, index, store, chunks, progress = silentProgress, signal } = options;
  const withChunks = store !== undefined && chunks !== undefined;
  const decoded = decodeIndex(await readFile(source), { name: source });
  using task = progress.start({ label: "send chunks", unit: "items" });
  const channel = await connect({ index, stores: store === undefined ? [] : [store] }, "push", signal);
  return await withConnection(channel, signal, async (connection) => {
    const { pushIndex: pushed, pushChunks, pushIndexChunks } = remoteFeatures;
    await connection.greet(withChunks ? pushed | pushChunks | pushIndexChunks : pushed);
    // A peer that ends meanwhile has said why.
    await sendFile(connection, "index", source).catch(passGone);
    const sent = await answerUntilGoodbye(connection, decoded, withChunks ? chunks : undefined, task, signal);
    await connection.finish();
    task.done(`${sent.chunksSent} chunks sent`);
    return sent;
  });
}

export interface PushArchiveOptions {
  readonly connect: Connect;
  /** The archive's bytes. */
  readonly source: AsyncIterable<Uint8Array>;
  /** Path of the archive on the other machine. */
  readonly archive: string;
  readonly progress?: Progress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Writes an archive to another machine.
 * @throws NetworkError; FormatError `protocol-…`; what the source throws; AbortedError
 */
export async function pushArchive(options: PushArchiveOptions): Promise<void> {
  const { connect, source, archive, progress = silentProgress, signal } = options;
  using task = progress.start({ label: "send archive", unit: "bytes" });
  const channel = await connect({ archive }, "push", signal);
  await withConnection(channel, signal, async (connection) => {
    await connection.greet(remoteFeatures.pushArchive);
    await sendPieces(connection, source, task).catch(passGone);
    const message = await connection.next();
    if (message.type !== "goodbye") throw connection.unexpected(message);
    await connection.finish();
    task.done();
  });
}

/** Frames are small enough for any peer's buffers. */
const pieceSize: number = 1024 ** 2;

async function sendPieces(connection: Connection, source: AsyncIterable<Uint8Array>, task: Task): Promise<void> {
  for await (const bytes of source) {
    for (let from = 0; from < bytes.length; from += pieceSize) {
      await connection.send({ type: "archive", bytes: bytes.subarray(from, from + pieceSize) });
    }
    task.advance(bytes.length);
  }
  await connection.send({ type: "archive-end" });
}

async function answerUntilGoodbye(
  connection: Connection,
  index: ChunkIndex,
  chunks: ReadStore | undefined,
  task: Task,
  signal: AbortSignal | undefined,
): Promise<PushedIndex> {
  const known = new IdTable(index.count);
  for (let i = 0; i < index.count; i++) known.add(index.id(i));
  let [chunksSent, bytesSent] = [0, 0];
  for (;;) {
    const message = await connection.next();
    if (message.type === "goodbye") return { chunksSent, bytesSent };
    if (message.type !== "request" || chunks === undefined) throw connection.unexpected(message);
    for (const name of message.names) {
      // Nothing but the index's chunks leaves this machine.
      if (known.find(fromHex(name)) < 0) throw notOurs(connection, name);
      const chunk = await chunks.get(name, signal);
      const answer: Message = chunk === undefined ? { type: "missing", name } : { type: "chunk", name, ...chunk };
      await connection.send(answer).catch(passGone);
      if (chunk === undefined) throw missingHere(chunks, name);
      chunksSent++;
      bytesSent += chunk.bytes.length;
      task.advance(1);
    }
  }
}

function notOurs(connection: Connection, name: string): NetworkError {
  return new NetworkError(`${connection.name} asks for chunk ${name}, which is not in the index`, {
    code: "protocol-unexpected",
    data: { peer: connection.name, chunk: name },
  });
}

function missingHere(store: ReadStore, name: string): NotFoundError {
  return new NotFoundError(`chunk ${name} is missing: tried ${store.location}`, {
    code: "chunk-missing",
    data: { chunk: name, stores: [store.location] },
  });
}
