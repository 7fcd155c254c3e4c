/**
 * Copies what boots into a tree: nobody but root reads it, as on a mounted EFI system partition.
 * @module
 */
import { chmod, copyFile } from "node:fs/promises";
import { resolveInTree } from "@imgtool/sandbox";
import { makeTreeFolder } from "../tree-file.ts";

/** Copies a file of this machine to a path in the tree, readable for root alone. */
export async function placeFile(source: string, tree: string, path: string): Promise<string> {
  const target = await resolveInTree(tree, path, { followLast: true });
  await makeTreeFolder(tree, path.replace(/\/[^/]*$/, ""), 0o700);
  await copyFile(source, target);
  await chmod(target, 0o600);
  return target;
}
