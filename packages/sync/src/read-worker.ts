/**
 * Worker thread of a reader of chunks: reads them from the local store or from a seed, decompresses and
 * verifies them. A chunk that cannot be had this way is left to the main thread, which knows the other
 * stores and how to report it.
 * @module
 */
import { readSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { hash } from "node:crypto";
import { FormatError, IntegrityError, toHex } from "@imgtool/core";
import type { DigestAlgorithm } from "@imgtool/chunker";
import { maxStoredBytes, openChunk, SyncLocalStore } from "@imgtool/store/blocking";
import { packError, type PackedError } from "./packed-error.ts";
import { orderRange, orderStored, ReadRing, type ReadRingMemory, stateFailed, stateWhole } from "./read-ring.ts";

export interface ReadWorkerData {
  readonly memory: ReadRingMemory;
  readonly digest: DigestAlgorithm;
  /** Directory of the store. */
  readonly store: string;
}

export interface ReadWorkerMessage {
  readonly type: "failed";
  readonly error: PackedError;
}

const { memory, digest, store: path } = workerData as ReadWorkerData;
const ring = new ReadRing(memory);
const store = new SyncLocalStore(path);
/** Memory that each chunk is read into: new memory for each costs as much as the work. */
const stored: Uint8Array = Buffer.allocUnsafeSlow(maxStoredBytes(memory.largest));

/** Puts the chunk into its slot; returns the bytes that were read for it, or undefined. */
function fetch(ticket: number): number | undefined {
  const target = ring.chunk(ticket);
  const name = toHex(ring.id(ticket));
  const order = ring.order(ticket);
  if (order === orderStored) {
    try {
      const chunk = store.get(name, maxStoredBytes(target.length), stored);
      if (chunk === undefined) return undefined;
      const plain = openChunk(chunk, name, target.length, digest, store.location, target);
      if (plain.buffer !== target.buffer) target.set(plain);
      return chunk.bytes.length;
    } catch (error) {
      if (error instanceof IntegrityError || error instanceof FormatError) return undefined;
      throw error;
    }
  }
  if (order === orderRange && !readRange(ring.descriptor(ticket), ring.offset(ticket), target)) return undefined;
  return hash(digest, target, "hex") === name ? 0 : undefined;
}

/** Fills the target; false when the file ends before, or cannot be read: a seed is a shortcut. */
function readRange(descriptor: number, offset: number, target: Uint8Array): boolean {
  try {
    for (let done = 0; done < target.length;) {
      const count = readSync(descriptor, target, done, target.length - done, offset + done);
      if (count === 0) return false;
      done += count;
    }
    return true;
  } catch {
    return false;
  }
}

let current: number | undefined;
try {
  for (current = ring.take(); current !== undefined; current = ring.take()) {
    const bytes = fetch(current);
    ring.finish(current, bytes === undefined ? stateFailed : stateWhole, bytes);
  }
} catch (error) {
  const message: ReadWorkerMessage = { type: "failed", error: packError(error) };
  parentPort?.postMessage(message);
  // whoever waits for it learns of the error
  if (current !== undefined) ring.finish(current, stateFailed);
}
