/**
 * Worker thread that digests the contents of files that another thread has opened: descriptors are the
 * process's. That thread closes them.
 * @module
 */
import { createHash } from "node:crypto";
import { readSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import type { DigestAlgorithm } from "@imgtool/chunker";
import { packError, type PackedError } from "./packed-error.ts";

export interface FileDigestOrder {
  readonly ticket: number;
  readonly descriptor: number;
  /** Bytes. */
  readonly size: number;
}

/** `digest`: hexadecimal, or undefined when the file is shorter than it was. */
export interface FileDigestAnswer {
  readonly ticket: number;
  readonly digest?: string | undefined;
  readonly error?: PackedError;
}

const buffer = Buffer.allocUnsafeSlow(256 * 1024);

function digest({ descriptor, size }: FileDigestOrder): string | undefined {
  const hash = createHash(workerData as DigestAlgorithm);
  for (let at = 0; at < size;) {
    const count = readSync(descriptor, buffer, 0, Math.min(buffer.length, size - at), at);
    if (count === 0) return undefined;
    hash.update(buffer.subarray(0, count));
    at += count;
  }
  return hash.digest("hex");
}

parentPort?.on("message", (order: FileDigestOrder) => {
  let answer: FileDigestAnswer;
  try {
    answer = { ticket: order.ticket, digest: digest(order) };
  } catch (error) {
    answer = { ticket: order.ticket, error: packError(error) };
  }
  parentPort?.postMessage(answer);
});
