/**
 * Digests of what a build reads: by content, so that a fresh checkout is no change and a forged time no cover.
 * @module
 */
import { createHash, type Hash } from "node:crypto";
import { closeSync, openSync, readlinkSync, readSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { getXattr, listXattrs } from "@imgtool/host";
import { walkTree } from "../tree-walk.ts";

/** SHA-256 of a text, hexadecimal. */
export function digestText(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/**
 * SHA-256 over the names, modes, owners, links, attributes and contents of a file or of all in a folder.
 * @param isLeftOut whether a path of this machine, and what is below it, does not count
 * @param latest milliseconds since 1970 that later times count as: they become the image's own at the end, and
 *   a checkout has those of its day
 */
export async function digestPath(
  path: string,
  signal: AbortSignal | undefined,
  isLeftOut: (path: string) => boolean = () => false,
  latest: number = Infinity,
): Promise<string> {
  const hash = createHash("sha256");
  // A tree that is named by a link is what the link leads to.
  const isFolder = (await stat(path)).isDirectory();
  for await (const { path: place, inner, stat: status } of walkTree(isFolder ? `${path}/.` : path, { signal })) {
    if (isLeftOut(join(path, inner.toString()))) continue;
    hash.update(`${inner.toString("hex")} ${status.mode} ${status.uid}:${status.gid} ${status.rdev}`);
    for (const name of listXattrs(place))
      hash.update(` ${name.toString("hex")}=${getXattr(place, name)?.toString("hex") ?? ""}`);
    if (status.isSymbolicLink()) hash.update(` -> ${readlinkSync(place, { encoding: "buffer" }).toString("hex")}`);
    // Times are kept in the image up to the build's own.
    if (status.isFile()) hash.update(` ${Math.min(Number(status.mtimeMs), latest)} ${status.size}\n`);
    if (status.isFile()) digestContent(place, hash);
    hash.update("\n");
  }
  return hash.digest("hex");
}

// One for all files: a new one for each takes five times as long as a small file's digest (measured).
const block = Buffer.allocUnsafeSlow(1024 ** 2);

/** Adds the content of a file to a digest. */
export function digestContent(path: Buffer, hash: Hash): void {
  const file = openSync(path, "r");
  try {
    for (let count = readSync(file, block); count > 0; count = readSync(file, block))
      hash.update(block.subarray(0, count));
  } finally {
    closeSync(file);
  }
}
