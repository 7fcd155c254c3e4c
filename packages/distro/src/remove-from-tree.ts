/**
 * Removing paths of an image's tree; links in it lead nowhere outside.
 * @module
 */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { systemErrorCode } from "@imgtool/core";
import { resolveInTree } from "@imgtool/sandbox";

/** Removes files and folders; those that are not there are no error. */
export async function removeFromTree(tree: string, paths: readonly string[]): Promise<void> {
  for (const path of paths) await rm(await resolveInTree(tree, path), { recursive: true, force: true });
}

/** Removes the content of a folder, if there is one. */
export async function emptyFolder(tree: string, folder: string): Promise<void> {
  const path = await resolveInTree(tree, folder, { followLast: true });
  let names: string[];
  try {
    names = await readdir(path);
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return;
    throw error;
  }
  for (const name of names) await rm(join(path, name), { recursive: true, force: true });
}
