/**
 * Worker thread of the chunk pipeline: takes orders until there are no more.
 * @module
 */
import { parentPort, workerData } from "node:worker_threads";
import { ChunkRing } from "./chunk-ring.ts";
import { ChunkWork, type ChunkWorkOptions, type CompressedChunk } from "./chunk-work.ts";
import { packError, type PackedError } from "./packed-error.ts";

export type ChunkWorkerMessage =
  | ({ readonly type: "compressed" } & CompressedChunk)
  | { readonly type: "failed"; readonly error: PackedError }
  | { readonly type: "flushed" };

function post(message: ChunkWorkerMessage, transfer: readonly ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, [...transfer]);
}

function run(options: ChunkWorkOptions): void {
  const ring = new ChunkRing(options.memory);
  using work = new ChunkWork(ring, options, (chunk) => post({ type: "compressed", ...chunk }, [chunk.bytes.buffer]));
  for (let job = ring.take(); job !== undefined; job = ring.take()) work.do(job);
  work.flush();
  post({ type: "flushed" });
}

try {
  run(workerData as ChunkWorkOptions);
} catch (error) {
  post({ type: "failed", error: packError(error) });
}
