/**
 * What a tools tree is, for what depends on its programs.
 * @module
 */
import { join } from "node:path";
import { pathExists } from "@imgtool/host";
import { walkTree } from "../tree-walk.ts";
import { digestPath, digestText } from "./digests.ts";

/** Databases that name every package of a tree with its version: dpkg's, rpm's at its places, pacman's. */
const databases = [
  "var/lib/dpkg/status",
  "usr/lib/sysimage/rpm/rpmdb.sqlite",
  "var/lib/rpm/rpmdb.sqlite",
  "var/lib/pacman/local",
];

/**
 * A digest of the packages in a tools tree, wherever the tree is; of a tree that has no such database, of the sizes
 * and times of its files, which takes longer and is another for each copy.
 */
export async function toolsIdentity(tree: string, signal: AbortSignal | undefined): Promise<string> {
  const digests: string[] = [];
  for (const path of databases.map((name) => join(tree, name)))
    // Times are those of its installation.
    if (await pathExists(path)) digests.push(await digestPath(path, signal, undefined, 0));
  if (digests.length > 0) return digestText(digests.join(" "));
  const files: string[] = [];
  if (await pathExists(join(tree, "usr")))
    for await (const { inner, stat } of walkTree(join(tree, "usr"), { signal }))
      if (!stat.isDirectory()) files.push(`${inner.toString("hex")} ${stat.size} ${stat.mtimeNs}`);
  return digestText(files.join("\n"));
}
