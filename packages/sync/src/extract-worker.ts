/**
 * Worker thread of an extraction from a local store: reads, decompresses, verifies and writes chunks.
 * A chunk that cannot be had this way is left to the main thread, which knows the other stores and
 * how to report it.
 * @module
 */
import { parentPort, workerData } from "node:worker_threads";
import { FormatError, IntegrityError, toHex } from "@imgtool/core";
import type { DigestAlgorithm } from "@imgtool/chunker";
import { maxStoredBytes, openChunk, SyncLocalStore } from "@imgtool/store/blocking";
import { ChunkPlacer, type PlacerOptions } from "./chunk-placer.ts";
import { outputError } from "./output-error.ts";
import { packError, type PackedError } from "./packed-error.ts";

export interface ExtractWorkerData extends PlacerOptions {
  readonly digest: DigestAlgorithm;
  /** Bytes of the largest chunk. */
  readonly largestChunk: number;
  /** Directory of the store. */
  readonly store: string;
}

export type ExtractWorkerMessage =
  | { readonly type: "progress"; readonly written: number; readonly chunks: number; readonly bytesFetched: number }
  | { readonly type: "failed"; readonly error: PackedError };

const data = workerData as ExtractWorkerData;
const { plan } = data;
/** Chunks between two reports. */
const reportEvery = 64;

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

function run(placer: ChunkPlacer): void {
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
    written += placer.place(position, fetched[0]);
    bytesFetched += fetched[1];
    if (++chunks === reportEvery) report();
  }
  report();
}

try {
  using placer = new ChunkPlacer(data);
  run(placer);
} catch (error) {
  const message: ExtractWorkerMessage = { type: "failed", error: packError(outputError(error, data.output)) };
  parentPort?.postMessage(message);
}
