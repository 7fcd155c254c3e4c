/**
 * The files of locked packages, for package managers that take a repository of files: found by name in
 * folders, taken by digest.
 * @module
 */
import { constants } from "node:fs";
import { copyFile, mkdir, readdir, rm, stat } from "node:fs/promises";
import { basename, join, relative } from "node:path";
import { NotFoundError, systemErrorCode } from "@imgtool/core";
import { digestFile } from "@imgtool/host";
import type { InstalledPackage, LockedPackage } from "./distribution.ts";
import { lockHint } from "./locked.ts";

/** A folder that may hold packages, and what stands for it in the lock, where no path of this machine may be. */
export interface PackagePlace {
  readonly folder: string;
  /** Where a file came from, by its path below the folder. */
  readonly source: (path: string) => string;
}

/** What could not be gathered: other files had the package's name, or none had. */
export interface MissingPackage extends LockedPackage {
  /** SHA-256 of the file that was found in its place. */
  readonly found?: string;
}

/** Paths below the folders by the names of the files, in the order of the folders; of one folder the newest first. */
async function filesByName(
  places: readonly PackagePlace[],
  isWanted: (name: string) => boolean,
): Promise<Map<string, { readonly path: string; readonly source: string }[]>> {
  const found = new Map<string, { path: string; source: string }[]>();
  for (const { folder, source } of places) {
    const here: { name: string; path: string; time: number }[] = [];
    for (const path of await pathsBelow(folder)) {
      const name = basename(path);
      if (isWanted(name)) here.push({ name, path, time: (await stat(path)).mtimeMs });
    }
    for (const { name, path } of here.sort((a, b) => b.time - a.time))
      found.set(name, [...(found.get(name) ?? []), { path, source: source(relative(folder, path)) }]);
  }
  return found;
}

async function pathsBelow(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return [];
    throw error;
  }
}

/**
 * Copies the files of the packages to the folder `to`, which is made. Only a file with the locked digest is one.
 * @returns the packages that have none
 */
export async function gatherLocked(
  locked: readonly LockedPackage[],
  places: readonly PackagePlace[],
  to: string,
): Promise<MissingPackage[]> {
  await mkdir(to, { recursive: true });
  const names = new Set(locked.map(({ path }) => basename(path)));
  const files = await filesByName(places, (name) => names.has(name));
  const missing: MissingPackage[] = [];
  for (const entry of locked) {
    const name = basename(entry.path);
    const target = join(to, name);
    let found: string | undefined;
    for (const { path } of files.get(name) ?? []) {
      // The copy is what is verified: the other may change meanwhile.
      await copyFile(path, target, constants.COPYFILE_FICLONE);
      found = await digestFile(target);
      if (found === entry.sha256) break;
      await rm(target);
    }
    if (found !== entry.sha256) missing.push(found === undefined ? entry : { ...entry, found });
  }
  return missing;
}

/**
 * What was installed, in its locked form: each package with the digest of the file that it came from.
 * @param fileName whether a file's name is that of the package
 * @throws NotFoundError `lock-file-missing` when the file of a package is nowhere
 */
export async function lockInstalled(
  installed: readonly InstalledPackage[],
  places: readonly PackagePlace[],
  fileName: (entry: InstalledPackage) => RegExp,
): Promise<LockedPackage[]> {
  const files = await filesByName(places, () => true);
  const names = [...files.keys()];
  const locked: LockedPackage[] = [];
  for (const entry of installed) {
    const { name, version, architecture } = entry;
    const pattern = fileName(entry);
    const [file] = names.filter((one) => pattern.test(one)).flatMap((one) => files.get(one) ?? []);
    if (file === undefined) {
      throw new NotFoundError(`the file of the package ${name} ${version} (${architecture}) was not kept`, {
        code: "lock-file-missing",
        hint: "it is looked for in PackageCacheDirectory=, PackageDirectories= and repositories of file:// addresses",
        data: { package: name, version, architecture },
      });
    }
    locked.push({ name, version, architecture, sha256: await digestFile(file.path), path: file.source });
  }
  return locked.sort((a, b) => compare(a.name, b.name) || compare(a.version, b.version));
}

/** Whether it is a package of the project's own, which no mirror has. */
export function isOwn({ path }: LockedPackage): boolean {
  return !path.includes("/");
}

/** @throws NotFoundError `lock-unsatisfied` when there are any */
export function checkGathered(missing: readonly MissingPackage[]): void {
  const [first] = missing;
  if (first === undefined) return;
  const more = missing.length === 1 ? "" : ` (and ${missing.length - 1} more)`;
  const found = first.found === undefined ? "no file of it is left" : `the file found has ${first.found}`;
  throw new NotFoundError(
    `the locked packages cannot be had: ${first.name} ${first.version} ${first.architecture} with the SHA-256 ${first.sha256} is locked, ${found}${more}`,
    { code: "lock-unsatisfied", hint: lockHint, data: { missing } },
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
