/**
 * Worker thread of an extraction from a local store: reads, decompresses, verifies and writes chunks.
 * A chunk that cannot be had this way is left to the main thread, which knows the other stores and
 * how to report it.
 * @module
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { FormatError, IntegrityError, toHex } from "@imgtool/core";
import type { DigestAlgorithm } from "@imgtool/chunker";
import { maxStoredBytes, openChunk, SyncLocalStore } from "@imgtool/store/blocking";
import { dataExtents } from "./data-extents.ts";
import type { ExtractPlan } from "./extract-plan.ts";
import { outputError } from "./output-error.ts";
import { packError, type PackedError } from "./packed-error.ts";

export interface ExtractWorkerData {
  readonly plan: ExtractPlan;
  readonly digest: DigestAlgorithm;
  /** Bytes of the largest chunk. */
  readonly largestChunk: number;
  /** Directory of the store. */
  readonly store: string;
  /** The file to write to. */
  readonly output: string;
  /** Whether the file reads as zeros where nothing is written. */
  readonly sparse: boolean;
}

export type ExtractWorkerMessage =
  | { readonly type: "progress"; readonly written: number; readonly chunks: number; readonly bytesFetched: number }
  | { readonly type: "failed"; readonly error: PackedError };

const data = workerData as ExtractWorkerData;
const { plan } = data;
/** Chunks between two reports. */
const reportEvery = 64;

function writeAt(descriptor: number, bytes: Uint8Array, offset: number): void {
  const extents = data.sparse ? dataExtents(bytes, offset) : [[0, bytes.length] as const];
  for (const [from, to] of extents) {
    for (let at = from; at < to;) at += writeSync(descriptor, bytes, at, to - at, offset + at);
  }
}

/** Memory that each chunk is read into and decompressed into: new memory for each costs as much as the work. */
const stored: Uint8Array = Buffer.allocUnsafeSlow(maxStoredBytes(data.largestChunk));
const plain: Uint8Array = Buffer.allocUnsafeSlow(data.largestChunk);

/**
 * The chunk's plain bytes, valid until the next call, and its length in the store; undefined when the
 * store has no good copy.
 */
function fetch(store: SyncLocalStore, i: number, size: number): readonly [Uint8Array, number] | undefined {
  const name = toHex(plan.ids.subarray(i * 32, (i + 1) * 32));
  try {
    const chunk = store.get(name, maxStoredBytes(size), stored);
    if (chunk === undefined) return undefined;
    return [openChunk(chunk, name, size, data.digest, store.location, plain), chunk.bytes.length];
  } catch (error) {
    if (error instanceof IntegrityError || error instanceof FormatError) return undefined;
    throw error;
  }
}

function run(descriptor: number): void {
  const store = new SyncLocalStore(data.store);
  let [written, chunks, bytesFetched] = [0, 0, 0];
  const report = (): void => {
    const message: ExtractWorkerMessage = { type: "progress", written, chunks, bytesFetched };
    parentPort?.postMessage(message);
    [written, chunks, bytesFetched] = [0, 0, 0];
  };
  for (;;) {
    const position = Atomics.add(plan.counters, 0, 1);
    const first = plan.firsts[position];
    if (first === undefined || Atomics.load(plan.counters, 1) === 1) break;
    if (plan.done[position] === 1) continue;
    const start = first === 0 ? 0 : (plan.ends[first - 1] ?? 0);
    const size = (plan.ends[first] ?? 0) - start;
    const fetched = fetch(store, first, size);
    if (fetched === undefined) continue;
    for (let i = first; i >= 0; i = plan.next[i] ?? -1) {
      if (plan.inPlace[i] === 1) continue;
      writeAt(descriptor, fetched[0], i === 0 ? 0 : (plan.ends[i - 1] ?? 0));
      written += size;
    }
    plan.done[position] = 1;
    bytesFetched += fetched[1];
    if (++chunks === reportEvery) report();
  }
  report();
}

try {
  const descriptor = openSync(data.output, "r+");
  try {
    run(descriptor);
  } finally {
    closeSync(descriptor);
  }
} catch (error) {
  const message: ExtractWorkerMessage = { type: "failed", error: packError(outputError(error, data.output)) };
  parentPort?.postMessage(message);
}
