/**
 * Files that distributions have at different places in a tree.
 * @module
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { pathExists } from "@imgtool/host";
import { resolveInTree } from "@imgtool/sandbox";

/** The path on this machine of the first file that one of the patterns means; a star is one whole name. */
export async function findFirst(tree: string, patterns: readonly string[]): Promise<string | undefined> {
  for (const pattern of patterns)
    for (const path of await expand(tree, pattern)) {
      const place = await resolveInTree(tree, path, { followLast: true });
      if (await pathExists(place)) return place;
    }
  return undefined;
}

/** Paths in the tree, sorted, that a pattern with whole names in the place of stars may mean. */
async function expand(tree: string, pattern: string): Promise<string[]> {
  const star = pattern.indexOf("*");
  if (star < 0) return [pattern];
  const folder = await resolveInTree(tree, pattern.slice(0, star), { followLast: true });
  const names = (await pathExists(folder)) ? (await readdir(folder)).sort() : [];
  const found = await Promise.all(
    names.map(async (name) => await expand(tree, join(pattern.slice(0, star), name) + pattern.slice(star + 1))),
  );
  return found.flat();
}
