/**
 * What a package manager of RPM packages is to a distribution: dnf and zypper differ in this alone.
 * @module
 */
import { join } from "node:path";
import type { InstalledPackage, InstallOptions } from "./distribution.ts";
import type { Downloaded } from "./install-downloaded.ts";
import type { PreparedRun } from "./package-run.ts";
import type { RpmFamily, RpmRepository } from "./rpm-family.ts";
import type { ScriptProgramOptions } from "./script-programs.ts";

/** What a package manager is run with on a tree. */
export interface RpmRunOptions {
  readonly tree: string;
  /** Folder for configuration and, without `cache`, downloads. */
  readonly folder: string;
  /** HOME, with rpm's macros. */
  readonly home: string;
  readonly repositoryFolder: string;
  /** Whose keys it may have to be given; none for a removal. */
  readonly repositories?: readonly RpmRepository[];
  /** Where rpm keeps its database, from the tree's root. */
  readonly databaseFolder?: string;
  readonly cache?: string | undefined;
  /** Of the repositories' addresses, besides the release. */
  readonly variables?: Readonly<Record<string, string>>;
  /** For messages. */
  readonly distribution: string;
  /** Empty for a removal, which looks for nothing. */
  readonly release: string;
  /** rpm's name. */
  readonly architecture: string;
  readonly withRecommends?: boolean | undefined;
  readonly withDocs?: boolean | undefined;
  readonly keyCheck?: boolean | undefined;
  readonly cacheOnly?: InstallOptions["cacheOnly"];
  /** Whether there is a repository of the project's own packages. */
  readonly hasOwn?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** What every command of a package manager begins with. */
export interface RpmCommand {
  readonly common: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** What dnf and zypper differ in. */
export interface RpmManager {
  readonly program: string;
  /** Writes its configuration. */
  configure(options: RpmRunOptions): Promise<RpmCommand>;
  /** The same, with a cache that is linked, to be run from here. */
  prepare(options: RpmRunOptions): Promise<PreparedRun>;
  /** Arguments before the names of packages. */
  install(withRecommends: boolean): readonly string[];
  readonly downloadOnly: string;
  /** The command that brings the lists of packages up to date. */
  readonly readLists: readonly string[];
  /** The folder of the cache with a folder for each repository, and whether one of these is of the repository. */
  readonly lists: { readonly folder: string; readonly isOf: (id: string, name: string) => boolean };
  /** The word that asks for a package in its very version. */
  exactly(entry: InstalledPackage): string;
  readonly remove: readonly string[];
  readonly upgrade: readonly string[];
  readonly reinstall: readonly string[];
  /** What scripts need besides, see ScriptProgramOptions. */
  readonly scripts: Pick<ScriptProgramOptions, "refresh" | "refreshOffline" | "offline">;
  /** Find the package of a line of output that begins to download or install one. */
  readonly downloading: RegExp;
  readonly installing: RegExp;
  /** What the lines of a download say of it. */
  readDownload(lines: readonly string[]): Downloaded;
}

/** Where packages and lists are kept. */
export function rpmCacheFolder(manager: RpmManager, family: RpmFamily, options: InstallOptions): string {
  const { packageCache, workspace, release } = options;
  return packageCache === undefined
    ? join(workspace, manager.program, "cache")
    : join(packageCache, rpmCacheName(manager, family, release));
}

/** The folder below a cache of packages. */
export function rpmCacheName(manager: RpmManager, family: RpmFamily, release: string): string {
  return join(manager.program, family.name, release);
}
