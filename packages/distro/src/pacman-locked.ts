/**
 * Locked packages of pacman: gathered from the cache, the archive and the project's own, and made a repository
 * that has them and no others.
 * @module
 */
import { basename, join } from "node:path";
import { makePacmanRepository } from "./local-packages.ts";
import { checkGathered, gatherLocked, isOwn, type PackagePlace } from "./locked-files.ts";
import { lockError } from "./locked.ts";
import type { InstalledPackage, InstallOptions, LockedPackage } from "./distribution.ts";

export interface LockedPacmanOptions {
  /** Those that the tree does not have yet. */
  readonly locked: readonly LockedPackage[];
  /** Folder for what is made here. */
  readonly folder: string;
  readonly places: readonly PackagePlace[];
  /** Downloads packages, from a repository of those that are here and from the archive's. */
  readonly fetch: (section: readonly string[] | undefined, own: string) => Promise<void>;
  readonly signal: AbortSignal | undefined;
}

/**
 * @returns the repository as a section of pacman's configuration; undefined where nothing is wanted
 * @throws NotFoundError `lock-unsatisfied`; what the download throws
 */
export async function lockedPacmanRepository(options: LockedPacmanOptions): Promise<readonly string[] | undefined> {
  const { locked, folder, places, fetch, signal } = options;
  const [files, own] = [join(folder, "files"), join(folder, "repository")];
  const missing = await gatherLocked(locked, places, files);
  let made = await makePacmanRepository([files], own, signal);
  if (missing.length > 0) {
    checkGathered(missing.filter(isOwn));
    await fetch(made?.section, own).catch((error: unknown) => {
      throw lockError(error);
    });
    checkGathered(await gatherLocked(locked, places, files));
    made = await makePacmanRepository([files], own, signal);
  }
  return made?.section;
}

/** Where package files may be: the project's own, and the cache. */
export function pacmanPlaces(options: InstallOptions, name: string, cache: string): PackagePlace[] {
  const own = (options.packageDirectories ?? []).map((folder) => ({ folder, source: basename }));
  return [...own, { folder: cache, source: (path) => `${name}/${path}` }];
}

/** The name of a package's file, however it is compressed. */
export function pacmanFileName({ name, version, architecture }: InstalledPackage): RegExp {
  return new RegExp(
    String.raw`^${RegExp.escape(`${name}-${version}-${architecture}`)}\.pkg\.tar(?:\.(?:zst|xz|gz|bz2))?$`,
  );
}
