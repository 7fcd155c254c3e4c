/**
 * Digests of folders that programs read whole, links and all.
 * @module
 */
import { readlinkSync } from "node:fs";
import { join } from "node:path";
import { pathExists } from "@imgtool/host";
import { walkTree } from "../tree-walk.ts";
import { digestPath } from "./digests.ts";

/**
 * A digest of the content of a folder, whatever its times; undefined where a link leads out of it, to what the
 * digest would not cover.
 * @param isLeftOut whether a path on this machine does not count
 * @returns "" for a folder that is not there
 */
export async function digestClosed(
  folder: string,
  signal: AbortSignal | undefined,
  isLeftOut: (path: string) => boolean = () => false,
): Promise<string | undefined> {
  if (!(await pathExists(folder))) return "";
  for await (const { path, inner, stat } of walkTree(`${folder}/.`, { signal })) {
    if (!stat.isSymbolicLink() || isLeftOut(join(folder, inner.toString()))) continue;
    // Of all targets it is the one that has no content.
    if (readlinkSync(path) !== "/dev/null") return undefined;
  }
  return await digestPath(folder, signal, isLeftOut, 0);
}
