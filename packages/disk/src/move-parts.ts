/**
 * Partitions that were written before their place was known, because one in front of them had no size yet.
 * They are copied: nothing in them depends on where they are, and Node.js cannot insert a range into a file.
 * @module
 */
import { closeSync, openSync, readSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { throwIfAborted } from "@imgtool/core";
import { SparseFile } from "./sparse-file.ts";

const pieceSize: number = 4 * 1024 ** 2;

/** Bytes. */
export interface Move {
  readonly from: number;
  readonly to: number;
  readonly size: number;
}

export interface MoveOptions {
  /** Path of the file that has the partitions. */
  readonly source: string;
  /** Path of the file that is made; zeros become holes. */
  readonly target: string;
  /** Bytes of that file. */
  readonly size: number;
  readonly moves: readonly Move[];
  readonly signal?: AbortSignal | undefined;
}

/** @throws EnvironmentError `no-space`, `write-failed`; AbortedError */
export async function moveParts({ source, target, size, moves, signal }: MoveOptions): Promise<void> {
  const input = openSync(source, "r");
  try {
    using output = new SparseFile(target);
    output.setSize(size);
    const piece = Buffer.alloc(pieceSize);
    for (const move of moves)
      for (let at = 0; at < move.size;) {
        throwIfAborted(signal);
        await setImmediate();
        const read = readSync(input, piece, 0, Math.min(pieceSize, move.size - at), move.from + at);
        // What is not there ends in zeros: the disk was not written to its end.
        if (read === 0) break;
        output.write(move.to + at, piece.subarray(0, read));
        at += read;
      }
    output.close();
  } finally {
    closeSync(input);
  }
}
