/**
 * Partitions that get another place: one that stands alone, and those that were written before their place was
 * known, because one in front of them had no size yet. They are copied: nothing in them depends on where they are,
 * and Node.js cannot insert a range into a file.
 * @module
 */
import { closeSync, openSync, readSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { throwIfAborted } from "@imgtool/core";
import { dataRanges } from "@imgtool/host";
import { SparseFile } from "./sparse-file.ts";

const pieceSize: number = 4 * 1024 ** 2;

/** Bytes. */
export interface RangeCopy {
  readonly from: number;
  readonly to: number;
  readonly size: number;
}

export interface RangeCopyOptions {
  /** Path of the file that has the ranges. */
  readonly source: string;
  /** Path of the file that is made; zeros become holes. */
  readonly target: string;
  /** Bytes of that file. */
  readonly size: number;
  readonly ranges: readonly RangeCopy[];
  readonly signal?: AbortSignal | undefined;
}

/** @throws EnvironmentError `no-space`, `write-failed`; AbortedError */
export async function copyRanges({ source, target, size, ranges, signal }: RangeCopyOptions): Promise<void> {
  const input = openSync(source, "r");
  try {
    using output = new SparseFile(target);
    output.setSize(size);
    const piece = Buffer.alloc(pieceSize);
    for (const range of ranges)
      // Disks are mostly holes, which need not be read.
      for (const [begin, end] of dataRanges(input, range.from + range.size)) {
        for (let at = Math.max(begin, range.from); at < end;) {
          throwIfAborted(signal);
          await setImmediate();
          const read = readSync(input, piece, 0, Math.min(pieceSize, end - at), at);
          if (read === 0) break;
          output.write(at - range.from + range.to, piece.subarray(0, read));
          at += read;
        }
      }
    output.close();
  } finally {
    closeSync(input);
  }
}
