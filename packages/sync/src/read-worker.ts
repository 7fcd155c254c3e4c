/**
 * Worker thread of a reader of chunks: carries out orders until there are no more.
 * @module
 */
import { parentPort, workerData } from "node:worker_threads";
import { packError, type PackedError } from "./packed-error.ts";
import { ReadRing, stateFailed } from "./read-ring.ts";
import { ReadWork, type ReadWorkOptions } from "./read-work.ts";

export interface ReadWorkerMessage {
  readonly type: "failed";
  readonly error: PackedError;
}

const options = workerData as ReadWorkOptions;
const ring = new ReadRing(options.memory);
let current: number | undefined;
try {
  using work = new ReadWork(options);
  for (current = ring.take(); current !== undefined; current = ring.take()) work.do(current);
} catch (error) {
  const message: ReadWorkerMessage = { type: "failed", error: packError(error) };
  parentPort?.postMessage(message);
  // whoever waits for it learns of the error
  if (current !== undefined) ring.finish(current, stateFailed);
}
