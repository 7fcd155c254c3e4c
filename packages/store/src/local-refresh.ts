/**
 * How a writer protects a chunk that it finds in a local store from a prune that runs beside: its
 * modification time says when it was last used, and a prune leaves alone what was used lately.
 *
 * A chunk used within the last hour is not touched again, so that a second run over the same content
 * costs no writes. A grace period therefore has to be longer than an hour and the longest run.
 * @module
 */
import { lstatSync, lutimesSync } from "node:fs";
import { lstat, lutimes } from "node:fs/promises";
import { systemErrorCode } from "@imgtool/core";
import { notThere } from "./local-errors.ts";

/** Chunks whose last use is longer ago than this, in milliseconds, are marked as used anew. */
export const refreshAge: number = 3_600_000;

/** What a chunk's file says of itself. */
interface ChunkFile {
  isFile(): boolean;
  readonly size: number;
  readonly mtimeMs: number;
}

/** Whether a file counts as a chunk: an empty one is what a crash has left. */
function countsAsChunk(stats: ChunkFile | undefined): stats is ChunkFile {
  return stats !== undefined && stats.isFile() && stats.size > 0;
}

function isFresh(stats: ChunkFile): boolean {
  return Date.now() - stats.mtimeMs < refreshAge;
}

/**
 * What a failed touch means. Gone: a prune was faster. Another user's file: the chunk counts as absent
 * and is written anew over it. A read-only file system: nobody removes anything there.
 */
function keptAllTheSame(error: unknown): boolean {
  const code = systemErrorCode(error);
  if (notThere(error) || code === "EPERM" || code === "EACCES") return false;
  if (code === "EROFS") return true;
  throw error;
}

/** Whether a chunk lies at the path and is safe from a prune from now on. */
export function keepChunkFile(path: string): boolean {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (!countsAsChunk(stats)) return false;
  if (isFresh(stats)) return true;
  try {
    const now = new Date();
    lutimesSync(path, now, now);
    return true;
  } catch (error) {
    return keptAllTheSame(error);
  }
}

/** keepChunkFile() without blocking. */
export async function keepChunkFileAsync(path: string): Promise<boolean> {
  try {
    const stats = await lstat(path);
    if (!countsAsChunk(stats)) return false;
    if (isFresh(stats)) return true;
  } catch (error) {
    if (notThere(error)) return false;
    throw error;
  }
  try {
    const now = new Date();
    await lutimes(path, now, now);
    return true;
  } catch (error) {
    return keptAllTheSame(error);
  }
}
