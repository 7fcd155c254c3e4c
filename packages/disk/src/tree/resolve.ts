/**
 * Resolves paths within a tree as a program chrooted into it would: absolute links begin at the tree,
 * ".." stops there. A link to /etc must never copy the machine's own files into an image.
 * @module
 */
import { lstatSync, readlinkSync, realpathSync } from "node:fs";
import { ConfigError } from "@imgtool/core";

/** As many links as the kernel follows. */
const linkLimit = 40;

/**
 * The names below the tree that lead to `path` with no link among them.
 * @throws ConfigError `path-invalid` for links in a circle; a system error `ENOENT` where there is nothing
 */
export function resolveInTree(
  tree: string,
  path: string,
): { readonly tree: string; readonly names: readonly string[] } {
  const root = realpathSync(tree).replace(/\/$/, "");
  const names: string[] = [];
  const left = path.split("/").reverse();
  let links = 0;
  for (let name = left.pop(); name !== undefined; name = left.pop()) {
    if (name === "" || name === ".") continue;
    if (name === "..") {
      names.pop();
      continue;
    }
    const whole = [root, ...names, name].join("/");
    if (!lstatSync(whole).isSymbolicLink()) {
      names.push(name);
      continue;
    }
    if (++links > linkLimit)
      throw new ConfigError(`${path}: too many symbolic links in the tree ${tree}`, {
        code: "path-invalid",
        data: { path, tree },
      });
    const target = readlinkSync(whole);
    if (target.startsWith("/")) names.length = 0;
    left.push(...target.split("/").reverse());
  }
  return { tree: root, names };
}
