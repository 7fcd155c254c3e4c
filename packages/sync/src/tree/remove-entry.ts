/**
 * Removes what stands under a name, directories with all they hold, through descriptors: a symlink is
 * removed, never followed.
 * @module
 */
import { closeSync } from "node:fs";
import { systemErrorCode } from "@imgtool/core";
import { openat, openFlags, readDirectory, unlinkat, type PathLike } from "@imgtool/host";
import { unlockEntry } from "./attributes.ts";
import { openSubvolume } from "./subvolume.ts";

export interface RemoveOptions {
  /** Whether attributes that forbid it are taken off before. */
  readonly undoImmutable?: boolean;
}

/** Removes the entry; one that is not there is no error. */
export function removeEntry(directory: number, name: PathLike, options: RemoveOptions = {}): void {
  if (options.undoImmutable === true) unlockIfThere(directory, name);
  try {
    unlinkat(directory, name);
    return;
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === "ENOENT") return;
    // Linux says EISDIR for directories, POSIX EPERM.
    if (code !== "EISDIR" && code !== "EPERM") throw error;
    if (!removeDirectory(directory, name, options)) throw error;
  }
}

function unlockIfThere(directory: number, name: PathLike): void {
  try {
    unlockEntry(directory, name);
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT") throw error;
  }
}

/** Returns false when it is no directory. */
function removeDirectory(directory: number, name: PathLike, options: RemoveOptions): boolean {
  let descriptor: number;
  try {
    descriptor = openat(directory, name, openFlags.read | openFlags.directory | openFlags.noFollow);
  } catch (error) {
    if (systemErrorCode(error) === "ENOTDIR") return false;
    throw error;
  }
  try {
    openSubvolume(descriptor);
    for (const entry of readDirectory(descriptor)) removeEntry(descriptor, entry.name, options);
  } finally {
    closeSync(descriptor);
  }
  unlinkat(directory, name, { directory: true });
  return true;
}
