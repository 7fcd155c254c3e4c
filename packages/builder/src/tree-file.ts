/**
 * Reads and writes small files of an image: through the image's own links, never out of its tree, and
 * with modes that do not depend on the umask.
 * @module
 */
import { chmod, mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { systemErrorCode } from "@imgtool/core";
import { resolveInTree } from "@imgtool/sandbox";

/** The text of a file, or undefined when there is none. */
export async function readTreeFile(tree: string, path: string): Promise<string | undefined> {
  try {
    return await readFile(await resolveInTree(tree, path, { followLast: true }), "utf8");
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}

/** Writes a file; one that exists keeps its mode and owner. */
export async function writeTreeFile(
  tree: string,
  path: string,
  content: string | Uint8Array,
  mode = 0o644,
): Promise<void> {
  const place = await resolveInTree(tree, path, { followLast: true });
  await makeFolder(dirname(place));
  const existed = (await readTreeFile(tree, path)) !== undefined;
  await writeFile(place, content);
  if (!existed) await chmod(place, mode);
}

/** Makes a link, in place of whatever file has its name. */
export async function linkTreeFile(tree: string, path: string, target: string): Promise<void> {
  const place = await resolveInTree(tree, path);
  await makeFolder(dirname(place));
  await rm(place, { force: true });
  await symlink(target, place);
}

/** Removes a file or folder, if there is one; of a link, the link. */
export async function removeTreePath(tree: string, path: string): Promise<void> {
  await rm(await resolveInTree(tree, path), { recursive: true, force: true });
}

/** Makes a folder and those above it, with that mode; those that exist keep theirs. Returns its place. */
export async function makeTreeFolder(tree: string, path: string, mode = 0o755): Promise<string> {
  const place = await resolveInTree(tree, path, { followLast: true });
  await makeFolder(place, mode);
  return place;
}

async function makeFolder(path: string, mode = 0o755): Promise<void> {
  const made = await mkdir(path, { recursive: true });
  if (made === undefined) return;
  for (let folder = path; folder.length >= made.length; folder = dirname(folder)) await chmod(folder, mode);
}
