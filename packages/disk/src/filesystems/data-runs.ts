/**
 * Where a file has data. Long runs of zero blocks become holes, found by content rather than by what
 * the machine's file system happens to have allocated, so that a copy of the tree gives the same image.
 * @module
 */
import { closeSync, openSync, readSync } from "node:fs";
import { EnvironmentError, errorMessage, throwIfAborted } from "@imgtool/core";
import type { BlockWriter } from "../sparse-file.ts";

const window = 1024 ** 2;
/** Zeros shorter than this stay data. */
const holeGrain = 65_536;
const zeros = Buffer.alloc(holeGrain);
const buffer = Buffer.alloc(window);

/** A run of data in a file: bytes. */
export interface DataRun {
  readonly offset: number;
  readonly length: number;
}

/** The error for a file that is not what it was when the tree was scanned. */
function treeChanged(path: Buffer, cause?: unknown): EnvironmentError {
  const reason = cause === undefined ? "it became shorter" : errorMessage(cause);
  return new EnvironmentError(`the tree changed while it was read: ${path.toString()}: ${reason}`, {
    code: "tree-changed",
    data: { path: path.toString() },
    ...(cause === undefined ? {} : { cause }),
  });
}

/** Opens a file of the tree. @throws EnvironmentError `tree-changed` when it cannot be, as it could when it was scanned */
export function openContent(path: Buffer): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    throw treeChanged(path, error);
  }
}

/** The runs of a file, on a grain of 64 KiB. Files under 1 MiB are one run and are not read. */
export function findDataRuns(path: Buffer, size: number, signal?: AbortSignal): DataRun[] {
  if (size < window) return size === 0 ? [] : [{ offset: 0, length: size }];
  const runs: { offset: number; length: number }[] = [];
  const file = openContent(path);
  try {
    for (let offset = 0; offset < size; offset += window) {
      throwIfAborted(signal);
      const wanted = Math.min(window, size - offset);
      const read = readSync(file, buffer, 0, wanted, offset);
      if (read < wanted) throw treeChanged(path);
      for (let at = 0; at < wanted; at += holeGrain) {
        const length = Math.min(holeGrain, wanted - at);
        if (buffer.compare(zeros, 0, length, at, at + length) === 0) continue;
        const last = runs.at(-1);
        if (last !== undefined && last.offset + last.length === offset + at) last.length += length;
        else runs.push({ offset: offset + at, length });
      }
    }
  } finally {
    closeSync(file);
  }
  return runs;
}

/** Reads exactly the bytes of a run into what `room` hands out for each position of the file. */
export function readRun(
  file: number,
  path: Buffer,
  run: DataRun,
  room: (offset: number, length: number) => Uint8Array,
): void {
  let at = 0;
  while (at < run.length) {
    const target = room(run.offset + at, run.length - at);
    let filled = 0;
    while (filled < target.length) {
      const read = readSync(file, target, filled, target.length - filled, run.offset + at + filled);
      if (read === 0) throw treeChanged(path);
      filled += read;
    }
    at += target.length;
  }
}

/**
 * Copies a file of `size` bytes to where its extents are, which count in blocks; the rest of its last block
 * becomes zeros.
 */
export function copyExtents(
  path: Buffer,
  size: number,
  extents: readonly { readonly logical: number; readonly start: number; readonly count: number }[],
  blockSize: number,
  target: BlockWriter,
): void {
  const file = openContent(path);
  try {
    for (const { logical, start, count } of extents) {
      const offset = logical * blockSize;
      const length = Math.min(count * blockSize, size - offset);
      const shift = (start - logical) * blockSize;
      readRun(file, path, { offset, length }, (at, wanted) => target.room(at + shift, wanted));
      const padding = count * blockSize - length;
      if (padding > 0) target.write(start * blockSize + length, new Uint8Array(padding));
    }
  } finally {
    closeSync(file);
  }
}
