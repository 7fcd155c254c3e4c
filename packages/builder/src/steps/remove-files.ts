/**
 * RemoveFiles=: patterns that name files of the image, as Python's pathlib reads them for mkosi: `*`, `?` and sets
 * stand for parts of one name, hidden ones too; `**` for any number of folders.
 * @module
 */
import { lstat, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { globMatches } from "@imgtool/config";
import { systemErrorCode } from "@imgtool/core";
import { resolveInTree } from "@imgtool/sandbox";

/** Removes what the patterns name in a tree; links lead nowhere outside. Returns how many there were. */
export async function removeFiles(tree: string, patterns: readonly string[]): Promise<number> {
  let count = 0;
  for (const pattern of patterns) {
    const parts = pattern.split("/").filter((part) => part !== "" && part !== ".");
    if (parts.length === 0 || parts.includes("..")) continue;
    const found = new Set<string>();
    await find(tree, "", parts, found);
    for (const path of found) {
      await rm(await resolveInTree(tree, path), { recursive: true, force: true });
      count++;
    }
  }
  return count;
}

/** Adds to `found` what the remaining parts name below a folder of the tree. */
async function find(tree: string, folder: string, parts: readonly string[], found: Set<string>): Promise<void> {
  const [part, ...others] = parts;
  if (part === undefined) {
    // The root itself stays, whatever a pattern says.
    if (folder !== "") found.add(folder);
    return;
  }
  if (part === "**") {
    await find(tree, folder, others, found);
    for (const name of await names(tree, folder)) {
      const path = join(folder, name);
      // Not through links, which may lead in circles.
      if ((await lstat(await resolveInTree(tree, path))).isDirectory()) await find(tree, path, parts, found);
      else if (others.length === 0) found.add(path);
    }
    return;
  }
  if (/[*?[]/.test(part)) {
    for (const name of await names(tree, folder))
      if (globMatches(part, name)) await find(tree, join(folder, name), others, found);
    return;
  }
  const path = join(folder, part);
  if (others.length > 0 || (await names(tree, folder)).includes(part)) await find(tree, path, others, found);
}

async function names(tree: string, folder: string): Promise<string[]> {
  try {
    return (await readdir(await resolveInTree(tree, folder, { followLast: true }))).sort();
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    throw error;
  }
}
