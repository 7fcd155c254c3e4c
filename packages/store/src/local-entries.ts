/**
 * What may lie in a local store: directories and regular files of limited size. Links could lead out
 * of the store and special files could block or never end, so both are refused.
 * @module
 */
import { constants, type Stats } from "node:fs";
import { FormatError } from "@imgtool/core";

/** Flags that open a chunk's file: not through a link, and without waiting for a FIFO's writer. */
export const readFlags: number = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** @throws FormatError `store-entry-invalid` unless it is a directory itself, not a link to one */
export function checkFolder(path: string, stats: Stats): void {
  if (stats.isDirectory()) return;
  throw new FormatError(`${path} is no directory`, {
    code: "store-entry-invalid",
    hint: "a store holds directories and regular files only; remove what does not belong there",
    data: { path, expected: "directory", found: kindOf(stats) },
  });
}

/** @throws FormatError `store-entry-invalid` unless it is a regular file of 1 to `maxBytes` bytes */
export function checkChunkFile(path: string, stats: Stats, maxBytes: number): void {
  if (stats.isFile() && stats.size <= maxBytes) return;
  const expected = `a regular file of at most ${maxBytes} bytes`;
  const found = stats.isFile() ? `${stats.size} bytes` : kindOf(stats);
  throw new FormatError(`${path} is no chunk: expected ${expected}, found ${found}`, {
    code: "store-entry-invalid",
    data: { path, expected, found },
  });
}

/** What a stat result is, in a word. */
export function kindOf(stats: Stats): string {
  if (stats.isFile()) return "regular file";
  if (stats.isDirectory()) return "directory";
  if (stats.isSymbolicLink()) return "symbolic link";
  return "special file";
}

/**
 * Whether a link leads to /dev/null (character device 1:3 on Linux): casync's mark, without the
 * suffix, for a chunk that is known to be missing.
 */
export function isNullDevice(stats: Stats | undefined): boolean {
  return stats?.isCharacterDevice() === true && stats.rdev === 0x103;
}
