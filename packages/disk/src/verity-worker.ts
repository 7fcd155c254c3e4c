/**
 * A worker thread that takes pieces of the data from a shared counter until none is left.
 * @module
 */
import { parentPort, workerData } from "node:worker_threads";
import { errorMessage, systemErrorCode } from "@imgtool/core";
import { VerityRangeHasher, type VerityRangeTarget } from "./verity-range.ts";

export interface VerityWorkerData {
  readonly target: VerityRangeTarget;
  /** Number of the next piece; a number past the last one stops the workers. */
  readonly next: Int32Array;
  readonly pieces: number;
  /** Data blocks per piece. */
  readonly piece: number;
}

export type VerityWorkerMessage =
  | { readonly type: "piece" }
  | { readonly type: "done" }
  | { readonly type: "error"; readonly message: string; readonly errno: string | undefined };

const { target, next, pieces, piece } = workerData as VerityWorkerData;
const send = (message: VerityWorkerMessage): void => parentPort?.postMessage(message);
try {
  const hasher = new VerityRangeHasher(target);
  for (;;) {
    const index = Atomics.add(next, 0, 1);
    if (index >= pieces) break;
    hasher.hash(index * piece, piece);
    send({ type: "piece" });
  }
  send({ type: "done" });
} catch (error) {
  // Errors of Node.js lose their code in transit.
  send({ type: "error", message: errorMessage(error), errno: systemErrorCode(error) });
}
