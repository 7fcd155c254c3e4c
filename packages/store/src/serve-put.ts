/**
 * PUT of chunks, as desync's chunk server has it: the body is stored under the chunk's path in any
 * store below the served directory, unless it is there already. What the server can check, it checks:
 * the name, the size, that a compressed or encrypted chunk begins as one. The digest is the reader's to verify: only
 * an index says which algorithm made the name, and how long the chunk is.
 * @module
 */
import type { IncomingMessage } from "node:http";
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { ImgtoolError } from "@imgtool/core";
import { chunkFolder, compressedSuffix, isChunkName } from "./chunk-path.ts";
import { sniffCodec } from "./codecs.ts";
import { isSealedChunk, maxSealedBytes } from "./encrypted/cipher.ts";
import { maxStoredBytes } from "./limits.ts";
import { openLocalStore } from "./local.ts";
import { pathBelow, requestNames } from "./serve-path.ts";
import type { ChunkName } from "./store.ts";

interface ChunkTarget {
  readonly name: ChunkName;
  readonly compressed: boolean;
  /** Names of the folders that lead to the store. */
  readonly store: readonly string[];
}

/** The chunk that a request's target names; undefined where it has another form. */
export function chunkTarget(target: string): ChunkTarget | undefined {
  const names = requestNames(target) ?? [];
  const file = names.at(-1) ?? "";
  const compressed = file.endsWith(compressedSuffix);
  const name = compressed ? file.slice(0, -compressedSuffix.length) : file;
  if (!isChunkName(name) || names.at(-2) !== chunkFolder(name)) return undefined;
  return { name, compressed, store: names.slice(0, -2) };
}

/** Whether a request's target has the form of a chunk in a store. */
export function isChunkTarget(target: string): boolean {
  return chunkTarget(target) !== undefined;
}

/** Stores the body of a request. @returns the status to answer with */
export async function putChunk(root: string, request: IncomingMessage): Promise<number> {
  const target = chunkTarget(request.url ?? "");
  if (target === undefined) return 403;
  const { name, compressed } = target;
  const announced = Number(request.headers["content-length"]);
  if (Number.isNaN(announced)) return 411;
  if (announced > maxSealedBytes(maxStoredBytes())) return 413;
  const path = await pathBelow(root, target.store);
  if (path === undefined) return 404;
  const bytes = await bodyOf(request, announced);
  // a body that was cut off has no one left to answer
  if (bytes === undefined) return 400;
  const chunk = { bytes, compressed };
  if (bytes.length === 0 || (compressed && sniffCodec(bytes) === undefined && !isSealedChunk(bytes))) return 422;
  try {
    await access(path, constants.W_OK);
    const store = await openLocalStore(path);
    const isNew = await store.put(name, chunk);
    await store.flush();
    if (isNew) return 201;
    return request.headers["if-none-match"] === "*" ? 412 : 204;
  } catch (error) {
    if (error instanceof ImgtoolError && error.code === "no-space") return 507;
    throw error instanceof ImgtoolError && error.cause !== undefined ? error.cause : error;
  }
}

async function bodyOf(request: IncomingMessage, announced: number): Promise<Uint8Array | undefined> {
  const whole = Buffer.allocUnsafeSlow(announced);
  let length = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    piece.copy(whole, length);
    length += piece.length;
  }
  return length === announced ? whole : undefined;
}
