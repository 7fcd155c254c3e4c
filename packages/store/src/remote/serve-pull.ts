/**
 * The side that is read from: what `casync pull` does when another machine has started it.
 * @module
 */
import { open } from "node:fs/promises";
import { NotFoundError, systemErrorCode } from "@imgtool/core";
import type { ReadStore } from "../store.ts";
import { type Channel, type Connection, passGone, withConnection } from "./connection.ts";
import { remoteFeatures } from "./features.ts";
import type { Message } from "./messages.ts";

export interface ServePullOptions {
  readonly channel: Channel;
  /** Paths of the files that are offered. */
  readonly archive?: string | undefined;
  readonly index?: string | undefined;
  /** Asked in this order. */
  readonly stores: readonly ReadStore[];
  readonly signal?: AbortSignal | undefined;
}

const pieceSize: number = 256 * 1024;

/**
 * Sends the index or archive that the peer wants and answers its requests until it ends. Requests are
 * answered in their order, each one: casync forgets those that are repeated.
 * @throws NotFoundError `remote-file-missing`; FormatError `protocol-…`; NetworkError; what a store
 *   throws. The peer is told.
 */
export async function servePull(options: ServePullOptions): Promise<void> {
  const { channel, archive, index, stores, signal } = options;
  const offered =
    (stores.length > 0 ? remoteFeatures.readableStore : 0n) |
    (index === undefined ? 0n : remoteFeatures.readableIndex) |
    (archive === undefined ? 0n : remoteFeatures.readableArchive);
  await withConnection(channel, signal, async (connection) => {
    await connection.greet(offered);
    const wanted = connection.remoteFeatures;
    if (index !== undefined && (wanted & remoteFeatures.pullIndex) !== 0n) {
      await sendFile(connection, "index", index);
    }
    if (archive !== undefined && (wanted & remoteFeatures.pullArchive) !== 0n) {
      await sendFile(connection, "archive", archive);
    }
    await answerRequests(connection, stores, (wanted & remoteFeatures.pullChunks) !== 0n, signal);
  });
}

/** Sends a file in pieces. @throws NotFoundError `remote-file-missing` */
export async function sendFile(connection: Connection, kind: "index" | "archive", path: string): Promise<void> {
  try {
    await using handle = await open(path, "r");
    for (;;) {
      const { bytesRead, buffer } = await handle.read(new Uint8Array(pieceSize), 0, pieceSize);
      if (bytesRead === 0) break;
      await connection.send({ type: kind, bytes: buffer.subarray(0, bytesRead) });
    }
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT") throw error;
    throw new NotFoundError(`there is no ${kind} at ${path}`, {
      code: "remote-file-missing",
      data: { file: path },
      cause: error,
    });
  }
  await connection.send({ type: `${kind}-end` });
}

async function answerRequests(
  connection: Connection,
  stores: readonly ReadStore[],
  areWanted: boolean,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (;;) {
    // Whoever pulls may end at any time.
    const message = await connection.read();
    if (message === undefined || message.type === "goodbye") return;
    if (message.type !== "request" || !areWanted) throw connection.unexpected(message);
    for (const name of message.names) await connection.send(await answer(stores, name, signal)).catch(passGone);
  }
}

async function answer(stores: readonly ReadStore[], name: string, signal: AbortSignal | undefined): Promise<Message> {
  for (const store of stores) {
    const chunk = await store.get(name, signal);
    if (chunk !== undefined) return { type: "chunk", name, ...chunk };
  }
  return { type: "missing", name };
}
