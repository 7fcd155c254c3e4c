/**
 * Removes chunks from a local store beside running writers. A writer that finds a chunk sets its
 * modification time (local-refresh.ts), which must not fall between our look at it and the removal.
 * So the file is renamed first: a writer that comes later does not find it and writes the chunk again,
 * and what an earlier one did to its time is seen at the new name, from where it is put back.
 * @module
 */
import { randomBytes } from "node:crypto";
import { linkSync, lstatSync, renameSync, rmdirSync, unlinkSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { systemErrorCode } from "@imgtool/core";
import { leavingPattern } from "./local-list.ts";
import { notThere } from "./local-errors.ts";
import type { StoreEntry } from "./store.ts";

/** As PruneStore.remove(). */
export function removeFile(entry: Exclude<StoreEntry, { kind: "stray" }>, unusedSince: number): boolean {
  const { path, kind } = entry;
  if (kind === "leaving") return settle(path, join(dirname(path), originalName(path)), unusedSince);
  if (!isUnused(path, unusedSince)) return false;
  if (kind === "unfinished") return unlinkIfThere(path) && removeFolder(path);
  const aside = join(dirname(path), `.gc-${randomBytes(8).toString("hex")}-${basename(path)}`);
  try {
    renameSync(path, aside);
  } catch (error) {
    if (notThere(error)) return false;
    throw error;
  }
  return settle(aside, path, unusedSince);
}

/** Ends the removal of a renamed file: it goes, or goes back when it has been used. */
function settle(aside: string, path: string, unusedSince: number): boolean {
  if (isUnused(aside, unusedSince)) return unlinkIfThere(aside) && removeFolder(path);
  try {
    linkSync(aside, path);
  } catch (error) {
    const code = systemErrorCode(error);
    // ENOENT: another prune has settled it. EEXIST: a writer has stored the chunk again.
    if (code === "ENOENT") return false;
    if (code !== "EEXIST") {
      // no hard links on this file system
      renameSync(aside, path);
      return false;
    }
  }
  unlinkIfThere(aside);
  return false;
}

function isUnused(path: string, unusedSince: number): boolean {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  return stats !== undefined && stats.isFile() && stats.mtimeMs < unusedSince;
}

function unlinkIfThere(path: string): boolean {
  try {
    unlinkSync(path);
    return true;
  } catch (error) {
    if (notThere(error)) return false;
    throw error;
  }
}

/** Removes the folder of a removed file when nothing is left in it, as casync does. */
function removeFolder(path: string): true {
  try {
    rmdirSync(dirname(path));
  } catch {
    // something is in it, or somebody else has removed it
  }
  return true;
}

function originalName(path: string): string {
  return leavingPattern.exec(basename(path))?.[1] ?? basename(path);
}
