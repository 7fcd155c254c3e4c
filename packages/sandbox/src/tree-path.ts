/**
 * Paths inside an image's tree, as the image will see them: symbolic links lead from the tree's own
 * root, never to this machine's files. An absolute link `/var/run -> /run` in a tree would otherwise
 * have a build that runs as root write to the host's /run.
 * @module
 */
import { lstat, readlink } from "node:fs/promises";
import { join } from "node:path";
import { FormatError, systemErrorCode } from "@imgtool/core";

// As many as Linux follows (MAXSYMLINKS).
const maximumLinks = 40;

/**
 * The place on this machine of `path` in `tree`. Links in every folder on the way are followed inside
 * the tree; the last name is followed only with `followLast`. What does not exist yet stays as it is.
 * @throws FormatError `symlink-loop`
 */
export async function resolveInTree(
  tree: string,
  path: string,
  options: { readonly followLast?: boolean } = {},
): Promise<string> {
  const pending = path.split("/").reverse();
  const resolved: string[] = [];
  let links = 0;
  for (;;) {
    const name = pending.pop();
    if (name === undefined) return join(tree, ...resolved);
    if (name === "" || name === ".") continue;
    if (name === "..") {
      resolved.pop();
      continue;
    }
    const isLast = pending.every((rest) => rest === "" || rest === ".");
    const target = isLast && options.followLast !== true ? undefined : await linkTarget(join(tree, ...resolved, name));
    if (target === undefined) {
      resolved.push(name);
      continue;
    }
    if (++links > maximumLinks) {
      throw new FormatError(`${path} in ${tree}: more than ${maximumLinks} symbolic links on the way`, {
        code: "symlink-loop",
        data: { tree, path },
      });
    }
    if (target.startsWith("/")) resolved.length = 0;
    pending.push(...target.split("/").reverse());
  }
}

async function linkTarget(path: string): Promise<string | undefined> {
  try {
    return (await lstat(path)).isSymbolicLink() ? await readlink(path) : undefined;
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}
