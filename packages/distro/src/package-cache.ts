/**
 * Keeps downloaded packages and lists of archives from build to build. Files come and go by rename
 * and hard link, so any number of builds may use one folder at a time, and a half-written file never
 * has a name that is looked for. Every package is checked against the archive's SHA-256 before use.
 * @module
 */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { copyFile, link, mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { systemErrorCode } from "@imgtool/core";
import { digestFile } from "@imgtool/host";

/** A package file that an install needs. */
export interface PackageFile {
  readonly uri: string;
  readonly file: string;
  /** Bytes. */
  readonly size: number;
  /** Hexadecimal, or undefined when the archive does not say. */
  readonly sha256: string | undefined;
}

/** Puts a file under a second name: a hard link, or a copy where the file system does not let it. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (!["EXDEV", "EPERM", "EMLINK"].includes(systemErrorCode(error) ?? "")) throw error;
    await copyFile(from, to, constants.COPYFILE_FICLONE);
  }
}

/** Gives the folder `to` all plain files of the folder `from`; there may be none. */
export async function fetchFiles(from: string, to: string): Promise<void> {
  for (const name of await plainFiles(from)) await fetchFile(join(from, name), join(to, name));
}

/**
 * Gives the folder `to` those of the files that `from` has whole. A file with wrong bytes is removed
 * from the cache. Returns the files that are missing.
 */
export async function fetchPackages(from: string, to: string, files: readonly PackageFile[]): Promise<PackageFile[]> {
  const missing: PackageFile[] = [];
  for (const file of files) {
    const target = join(to, file.file);
    if (!(await fetchFile(join(from, file.file), target))) {
      missing.push(file);
    } else if (!(await isWhole(target, file))) {
      await rm(target);
      await rm(join(from, file.file), { force: true });
      missing.push(file);
    }
  }
  return missing;
}

/** Keeps files of the folder `from` in the folder `to`, replacing those of the same names. */
export async function keepFiles(from: string, to: string, names: readonly string[]): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const name of names) {
    const temporary = join(to, `.${randomBytes(8).toString("hex")}.tmp`);
    try {
      await linkOrCopy(join(from, name), temporary);
      await rename(temporary, join(to, name));
    } finally {
      // rename does nothing when both names are the same file already: the temporary name stays.
      await rm(temporary, { force: true });
    }
  }
}

/** Names of the plain files in a folder, without hidden ones and locks. */
export async function plainFiles(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile() && !entry.name.startsWith(".") && entry.name !== "lock")
      .map((entry) => entry.name)
      .sort();
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return [];
    throw error;
  }
}

async function fetchFile(from: string, to: string): Promise<boolean> {
  try {
    await linkOrCopy(from, to);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return false;
    throw error;
  }
}

async function isWhole(path: string, file: PackageFile): Promise<boolean> {
  if ((await stat(path)).size !== file.size) return false;
  return file.sha256 === undefined || (await digestFile(path)) === file.sha256;
}
