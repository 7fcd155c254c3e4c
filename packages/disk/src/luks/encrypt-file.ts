/**
 * Encrypts a part of a file in place, in worker threads. Memory: a few MiB for each, whatever the size.
 * @module
 */
import { closeSync, openSync } from "node:fs";
import { availableParallelism } from "node:os";
import { setImmediate } from "node:timers/promises";
import { throwIfAborted, type Progress } from "@imgtool/core";
import { writeError } from "../sparse-file.ts";
import { runPieces, workerUrl } from "../worker-pieces.ts";
import { encryptPiece, type EncryptTarget } from "./encrypt-range.ts";

/** Bytes that a thread takes at a time. */
const piece = 4 * 1024 ** 2;
/** A thread takes a tenth of a second to start, in which one thread encrypts about this much (measured). */
const bytesPerWorker = 32 * 1024 ** 2;

export interface EncryptFileOptions {
  readonly path: string;
  /** Bytes from the start of the file that sector 0 begins at, and how many are encrypted. */
  readonly offset: number;
  readonly size: number;
  readonly volumeKey: Uint8Array;
  readonly sectorSize: number;
  /** For progress: what is encrypted. */
  readonly label?: string;
  /** Threads at most. Default: as many as the machine has processors. */
  readonly threads?: number;
  readonly progress?: Progress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Encrypts the bytes. After an error some of them are encrypted and some are not.
 * @throws EnvironmentError `no-space` or `write-failed`, AbortedError; RangeError when `size` is no multiple
 *   of the sector size
 */
export async function encryptFile(options: EncryptFileOptions): Promise<void> {
  const { path, offset, size, volumeKey, sectorSize, signal } = options;
  throwIfAborted(signal);
  if (size % sectorSize !== 0) throw new RangeError(`${size} bytes are no whole sectors of ${sectorSize}`);
  const file = openSync(path, "r+");
  const target: EncryptTarget = { file, offset, size, piece, volumeKey, sectorSize };
  const pieces = Math.ceil(size / piece);
  const threads = Math.min(options.threads ?? availableParallelism(), Math.floor(size / bytesPerWorker));
  const progress = { label: `encrypt ${options.label ?? path}`, unit: "bytes", total: size } as const;
  using task = options.progress?.start(progress);
  const advance = (): void => task?.advance(piece);
  try {
    if (threads > 1) {
      const worker = workerUrl("encrypt-worker", import.meta.url);
      await runPieces({ worker, target, pieces, threads, advance, signal });
    } else
      for (let index = 0; index < pieces; index++) {
        throwIfAborted(signal);
        encryptPiece(target, index);
        advance();
        await setImmediate();
      }
    task?.done();
  } catch (error) {
    throw writeError(path, error);
  } finally {
    closeSync(file);
  }
}
