/**
 * Destinations that are no directories: what is published is made in a temporary folder of this machine and
 * then written there, the version list last.
 * @module
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { FormatError, throwIfAborted } from "@imgtool/core";
import { fetchStoredFile, storedFileBelow, type StoredFileOptions, writeStoredFile } from "@imgtool/store";

/** Largest version list that is taken, in bytes: some hundred thousand files. */
const maxListBytes = 32 * 1024 ** 2;

interface Published {
  readonly artifacts: readonly { readonly file: string; readonly newChunks: number }[];
  readonly changed: boolean;
}

/**
 * Publishes to a URL.
 * @param list the version list's name
 * @param publishInto publishes into a folder that has the destination's list
 * @throws what the destination's driver throws
 */
export async function uploading<Result extends Published>(
  destination: string,
  list: string,
  options: StoredFileOptions,
  publishInto: (folder: string) => Promise<Result>,
): Promise<Result> {
  // /tmp may be memory
  const folder = await mkdtemp(join(process.env["TMPDIR"] || "/var/tmp", "imgtool-publish-"));
  try {
    const former = await fetchStoredFile(storedFileBelow(destination, list), maxListBytes, options);
    if (former !== undefined) await writeFile(join(folder, list), former);
    const result = await publishInto(folder);
    let changed = result.artifacts.some(({ newChunks }) => newChunks > 0);
    for (const name of [...result.artifacts.map(({ file }) => file), list]) {
      throwIfAborted(options.signal);
      const bytes = await readFile(join(folder, name));
      const location = storedFileBelow(destination, name);
      if (await isThere(location, bytes, options)) continue;
      await writeStoredFile(location, bytes, options);
      changed = true;
    }
    return { ...result, changed };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Whether the destination has the same already. */
async function isThere(location: string, bytes: Buffer, options: StoredFileOptions): Promise<boolean> {
  try {
    const found = await fetchStoredFile(location, bytes.length, options);
    return found !== undefined && bytes.equals(found);
  } catch (error) {
    // larger than what is published
    if (error instanceof FormatError) return false;
    throw error;
  }
}
