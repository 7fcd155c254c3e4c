/**
 * Nothing half-written is left under a final name: outputs are made under a temporary name in the
 * folder they belong to, and renamed when they are whole.
 * @module
 */
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { removeLeftovers, temporaryName } from "./leftovers.ts";

export interface MakeAtomicallyOptions {
  /**
   * Leave the file at `path` alone when the new one has the same bytes, so that its times, and what
   * web servers tell of it, stay. Default false.
   */
  readonly keepEqual?: boolean;
}

/**
 * Makes a file or folder: `make` writes under a temporary name, which is then flushed and renamed to
 * `path`. When `make` throws, the temporary name is removed and the error goes on; what a run that was killed
 * has left of the same output is removed first.
 */
export async function makeAtomically<T>(
  path: string,
  make: (temporary: string) => Promise<T>,
  options: MakeAtomicallyOptions = {},
): Promise<T> {
  await removeLeftovers(path);
  const temporary = temporaryName(path);
  try {
    const result = await make(temporary);
    if (options.keepEqual === true && (await haveEqualBytes(path, temporary))) {
      await rm(temporary);
      return result;
    }
    await flush(temporary);
    await rename(temporary, path);
    await flush(dirname(path));
    return result;
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    nameFinally(error, temporary, path);
    throw error;
  }
}

/** People know the name that they gave, not the temporary one. */
function nameFinally(error: unknown, temporary: string, path: string): void {
  if (!(error instanceof Error)) return;
  error.message = error.message.replaceAll(temporary, path);
  if ("path" in error && error.path === temporary) error.path = path;
}

/** Whether both paths are files with the same bytes; read side by side in blocks. */
async function haveEqualBytes(a: string, b: string): Promise<boolean> {
  const [left, right] = await Promise.all([a, b].map((path) => open(path, "r").catch(() => undefined)));
  try {
    if (left === undefined || right === undefined) return false;
    const [leftStats, rightStats] = [await left.stat(), await right.stat()];
    if (!leftStats.isFile() || !rightStats.isFile() || leftStats.size !== rightStats.size) return false;
    const blockSize = 256 * 1024;
    const [leftBlock, rightBlock] = [Buffer.alloc(blockSize), Buffer.alloc(blockSize)];
    for (let offset = 0; offset < leftStats.size; offset += blockSize) {
      const { bytesRead } = await left.read(leftBlock, 0, blockSize, offset);
      const { bytesRead: other } = await right.read(rightBlock, 0, blockSize, offset);
      if (!leftBlock.subarray(0, bytesRead).equals(rightBlock.subarray(0, other))) return false;
    }
    return true;
  } finally {
    await left?.close();
    await right?.close();
  }
}

/** fsync of a file or folder: what is renamed before it is flushed can be empty after a crash. */
export async function flush(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
