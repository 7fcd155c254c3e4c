/**
 * What `imgtool make` does when the index goes to a storage service or a file server: it is made here and
 * written there when all its chunks are safe.
 * @module
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { shownLocation, type StoredFileOptions, writeStoredFile } from "@imgtool/store";

/**
 * @param target where the index goes, which writeStoredFile() takes
 * @param make makes the index at a path of this machine, after its chunks
 */
export async function makeStored<Made extends { readonly indexPath: string }>(
  target: string,
  make: (index: string) => Promise<Made>,
  options: StoredFileOptions,
): Promise<Made> {
  // As casync: /tmp may be memory.
  const folder = await mkdtemp(join(process.env["TMPDIR"] || "/var/tmp", "imgtool-make-"));
  try {
    const index = join(folder, "index");
    const made = await make(index);
    await writeStoredFile(target, await readFile(index), options);
    return { ...made, indexPath: shownLocation(target) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
