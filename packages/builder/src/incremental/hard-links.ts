/**
 * The hard links of a tree, which an archive of casync's does not know: each name there is a file of its own.
 * @module
 */
import { linkSync, lstatSync, unlinkSync } from "node:fs";
import { dirname } from "node:path";
import { FormatError } from "@imgtool/core";
import { AT_FDCWD, setMtime } from "@imgtool/host";
import { walkTree } from "../tree-walk.ts";

/** Paths in a tree that are names of one file, in hexadecimal: names need not be text. */
export type LinkGroup = readonly string[];

/** The groups of a tree, in the order of its walk. */
export async function hardLinks(tree: string, signal: AbortSignal | undefined): Promise<LinkGroup[]> {
  const groups = new Map<string, string[]>();
  for await (const { inner, stat } of walkTree(tree, { signal })) {
    if (stat.nlink < 2n || stat.isDirectory()) continue;
    const id = `${stat.dev}:${stat.ino}`;
    groups.set(id, [...(groups.get(id) ?? []), inner.toString("hex")]);
  }
  return [...groups.values()].filter((group) => group.length > 1);
}

/** Makes the names of each group one file again; the folders keep their times. */
export function restoreHardLinks(tree: string, groups: readonly LinkGroup[]): void {
  for (const group of groups) {
    const [first, ...others] = group.map((name) => placeOf(tree, name));
    if (first === undefined) continue;
    for (const place of others) {
      const folder = dirname(place.toString("latin1"));
      const parent = Buffer.from(folder, "latin1");
      const { mtimeNs } = lstatSync(parent, { bigint: true });
      unlinkSync(place);
      linkSync(first, place);
      setMtime(AT_FDCWD, parent, mtimeNs);
    }
  }
}

/**
 * The place of a name. The tree was made by the same store: nothing it says may lead out of it.
 * @throws FormatError `kept-invalid`
 */
function placeOf(tree: string, name: string): Buffer {
  const parts = Buffer.from(name, "hex").toString("latin1").split("/");
  let place = Buffer.from(tree);
  for (const [index, part] of parts.entries()) {
    place = Buffer.concat([place, Buffer.from(`/${part}`, "latin1")]);
    const isFolder = index < parts.length - 1;
    const isInside = part !== "" && part !== "." && part !== "..";
    if (isInside && (!isFolder || lstatSync(place, { throwIfNoEntry: false })?.isDirectory() === true)) continue;
    throw new FormatError(`the cache store names hard links that the tree does not have: ${parts.join("/")}`, {
      code: "kept-invalid",
      data: { name: parts.join("/") },
    });
  }
  return place;
}
