/**
 * From a request's target to a file below the served directory, and to nothing else: RFC 9112, 3.2.
 * @module
 */
import { realpath } from "node:fs/promises";
import { join, sep } from "node:path";

/**
 * The names on the way to what is asked for, percent-decoded; undefined for targets that are
 * malformed or try to leave the directory: `..`, `%2e%2e`, encoded slashes, NUL. Names that begin
 * with a dot are refused as well: files that are being written have such names.
 */
export function requestNames(target: string): readonly string[] | undefined {
  const path = /^(?:https?:\/\/[^/?#]*)?(\/[^?#]*)/i.exec(target)?.[1];
  if (path === undefined) return undefined;
  const names: string[] = [];
  for (const part of path.split("/")) {
    let name: string;
    try {
      name = decodeURIComponent(part);
    } catch {
      return undefined;
    }
    if (name.startsWith(".") || name.includes("/") || name.includes("\0")) return undefined;
    if (name !== "") names.push(name);
  }
  return names;
}

/**
 * The real path of the names below `root`, itself a real path; undefined when a symbolic link leads
 * out of it.
 * @throws the system's error when there is no such file
 */
export async function pathBelow(root: string, names: readonly string[]): Promise<string | undefined> {
  const path = await realpath(join(root, ...names));
  return path === root || path.startsWith(root.endsWith(sep) ? root : root + sep) ? path : undefined;
}

/** Whether the path ends with a slash, as only a folder's does. */
export function isFolderTarget(target: string): boolean {
  return target.split("?", 1)[0]?.endsWith("/") === true;
}
