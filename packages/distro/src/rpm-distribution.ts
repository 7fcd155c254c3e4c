/**
 * Distributions of RPM packages: what installing, removing and cleaning up come to, whichever package
 * manager runs.
 * @module
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentProgress, type Progress } from "@imgtool/core";
import { requireTool } from "@imgtool/host";
import { checkPackageNames } from "./check-names.ts";
import type {
  Distribution,
  InstalledPackage,
  InstallOptions,
  InstallResult,
  RemoveOptions,
  ScriptTools,
} from "./distribution.ts";
import { installDownloaded, type Downloaded } from "./install-downloaded.ts";
import { lockByInstalling } from "./lock-by-installing.ts";
import type { PackagePlace } from "./locked-files.ts";
import { checkLockedTree, notInstalled, staleLockError, withDigests } from "./locked.ts";
import { namedArchitecture } from "./named-architecture.ts";
import type { RunPackages } from "./package-run.ts";
import { recordedRepositories, writeRpmMacros, writeRpmWorkspace } from "./rpm-configuration.ts";
import {
  cleanRpmMetadata,
  cleanRpmVolatile,
  listRpmPackages,
  normalizeRpmDatabase,
  removeRpmLogs,
} from "./rpm-database.ts";
import type { RpmFamily } from "./rpm-family.ts";
import { rpmFingerprint } from "./rpm-fingerprint.ts";
import { lockedRpmRepositories, rpmPlaces } from "./rpm-locked.ts";
import { rpmCacheFolder, rpmCacheName, type RpmManager, type RpmRunOptions } from "./rpm-manager.ts";
import { requireRunnable } from "./runnable.ts";
import { scriptCache, scriptTools } from "./script-programs.ts";

/** A distribution with its package manager. */
export function rpmDistribution(manager: RpmManager, family: RpmFamily): Distribution {
  const distribution: Distribution = {
    name: family.name,
    packageType: "rpm",
    cacheName: (release) => rpmCacheName(manager, family, release),
    architectureName: (architecture) => namedArchitecture(family, architecture),
    // The first package brings the root's folders and links.
    prepareTree: async () => {},
    install: async (options) => await install(manager, family, options),
    fingerprint: async (options, lists) => await rpmFingerprint(manager, family, options, lists),
    lock: async (options, requests) =>
      await lockByInstalling(
        { distribution, places: async (all) => await places(manager, family, all), fileName },
        options,
        requests,
      ),
    scriptTools: async (options, mounted) => await rpmScriptTools(manager, family, options, mounted),
    remove: async (options) => await remove(manager, family, options),
    listPackages: listRpmPackages,
    cleanMetadata: cleanRpmMetadata,
    cleanVolatile: cleanRpmVolatile,
  };
  return distribution;
}

async function install(manager: RpmManager, family: RpmFamily, options: InstallOptions): Promise<InstallResult> {
  const { tree, release, packages, locked } = options;
  const progress = options.progress ?? silentProgress;
  const architecture = namedArchitecture(family, options.architecture);
  checkPackageNames(packages);
  for (const tool of [manager.program, "rpm", "bwrap"]) await requireTool(tool);
  await requireRunnable(architecture);
  const folder = join(options.workspace, manager.program);
  const workspace = await writeRpmWorkspace(family, options, folder);
  const variables = family.variables?.(release) ?? {};
  const before = locked === undefined ? [] : await listRpmPackages(tree);
  const common: RpmRunOptions = {
    ...workspace,
    tree,
    folder,
    cache: rpmCacheFolder(manager, family, options),
    variables,
    distribution: family.title,
    release,
    architecture,
    withRecommends: options.withRecommends,
    withDocs: options.withDocs,
    keyCheck: options.repositoryKeyCheck,
    cacheOnly: options.cacheOnly,
    signal: options.signal,
  };
  const base = family.basePackages(release, packages);
  const install = manager.install(options.withRecommends === true);
  let fetched: Downloaded | undefined;
  const fetch = async (repositoryFolder: string): Promise<void> => {
    const wanted = notInstalled(locked ?? [], before).map((entry) => manager.exactly(entry));
    const { run, tidy } = await manager.prepare({ ...common, repositoryFolder, hasOwn: false });
    try {
      fetched = await download(manager, run, [...install, manager.downloadOnly, ...wanted], progress);
    } finally {
      await tidy();
    }
  };
  const chosen =
    locked === undefined
      ? common
      : {
          ...common,
          repositoryFolder: await lockedRpmRepositories({
            locked: notInstalled(locked, before),
            workspace,
            folder: join(folder, "locked"),
            places: await places(manager, family, options, workspace.repositoryFolder),
            keyCheck: options.repositoryKeyCheck ?? true,
            fetch,
            signal: options.signal,
          }),
          // All of it is here: what dnf and zypper remember of such repositories is of no use to others.
          cache: join(folder, "locked-cache"),
          cacheOnly: "nothing" as const,
          hasOwn: false,
          // Whoever fetched has imported the keys.
          repositories: fetched === undefined ? workspace.repositories : [],
        };
  const { run, tidy } = await manager.prepare(chosen);
  let downloaded: Downloaded;
  try {
    const args = [...install, manager.downloadOnly, ...base, ...packages];
    downloaded = await download(manager, run, args, progress).catch((error: unknown) => {
      throw locked === undefined ? error : staleLockError(error);
    });
    const { count } = downloaded;
    const { installing } = manager;
    await installDownloaded({ run, install, base, packages, installing, count, progress });
  } finally {
    await tidy();
  }
  await removeRpmLogs(tree);
  await normalizeRpmDatabase(tree, options.sourceDateEpoch);
  await rm(folder, { recursive: true, force: true });
  const installed = await listRpmPackages(tree);
  if (locked !== undefined) {
    checkLockedTree(installed, locked, before);
    downloaded = fetched ?? { files: 0, bytes: 0, count: 0 };
  }
  return {
    packages: withDigests(installed, locked ?? []),
    repositories: recordedRepositories(workspace.repositories, {
      releasever: release,
      basearch: architecture,
      ...variables,
    }),
    downloaded: { files: downloaded.files, bytes: downloaded.bytes },
  };
}

/** Where the files of packages may be. */
async function places(
  manager: RpmManager,
  family: RpmFamily,
  options: InstallOptions,
  repositoryFolder?: string,
): Promise<PackagePlace[]> {
  const { release } = options;
  const variables = {
    releasever: release,
    basearch: namedArchitecture(family, options.architecture),
    ...family.variables?.(release),
  };
  const cache = rpmCacheFolder(manager, family, options);
  if (repositoryFolder !== undefined) return await rpmPlaces(options, repositoryFolder, variables, cache);
  const folder = join(options.workspace, "places");
  const workspace = await writeRpmWorkspace(family, options, folder);
  const found = await rpmPlaces(options, workspace.repositoryFolder, variables, cache);
  await rm(folder, { recursive: true, force: true });
  return found;
}

/** rpm's files carry no epoch. */
function fileName({ name, version, architecture }: InstalledPackage): RegExp {
  return new RegExp(`^${RegExp.escape(`${name}-${version.replace(/^\d+:/, "")}.${architecture}.rpm`)}$`);
}

async function rpmScriptTools(
  manager: RpmManager,
  family: RpmFamily,
  options: InstallOptions,
  mounted: string,
): Promise<ScriptTools> {
  const { release, packageCache } = options;
  const folder = join(options.workspace, `${manager.program}-scripts`);
  const workspace = await writeRpmWorkspace(family, options, folder);
  const cache =
    packageCache === undefined ? join(folder, "cache") : join(packageCache, rpmCacheName(manager, family, release));
  await mkdir(cache, { recursive: true });
  const { common, env } = await manager.configure({
    ...workspace,
    tree: mounted,
    folder,
    cache: scriptCache,
    variables: family.variables?.(release) ?? {},
    distribution: family.title,
    release,
    architecture: namedArchitecture(family, options.architecture),
    withRecommends: options.withRecommends,
    withDocs: options.withDocs,
    keyCheck: options.repositoryKeyCheck,
    signal: options.signal,
  });
  return scriptTools({
    program: manager.program,
    common,
    env,
    mounted,
    folder,
    cache,
    install: options,
    ...manager.scripts,
    words: {
      install: manager.install(options.withRecommends === true),
      upgrade: manager.upgrade,
      reinstall: manager.reinstall,
      remove: manager.remove,
    },
  });
}

/** Resolves and downloads everything before a package is installed: what is wrong with names shows in seconds. */
async function download(
  manager: RpmManager,
  run: RunPackages,
  args: readonly string[],
  progress: Progress,
): Promise<Downloaded> {
  using task = progress.start({ label: "download packages" });
  const onLine = (line: string): void => {
    const name = manager.downloading.exec(line)?.[1];
    if (name !== undefined) task.detail(name);
  };
  const lines = await run({ args, doing: "download packages", mounted: false, offline: false, onLine });
  const downloaded = manager.readDownload(lines);
  task.done(downloaded.files === 0 ? "nothing new" : `${downloaded.files} packages`);
  return downloaded;
}

/** Bytes of `4.5 M` or `12 KiB`: package managers say them no more exactly. */
export function parseSize(text: string): number {
  const match = /^([\d.]+) ?([kKMG]?)/.exec(text);
  const units: Readonly<Record<string, number>> = { "": 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 };
  return match === null ? 0 : Math.round(Number(match[1]) * (units[(match[2] ?? "").toUpperCase()] ?? 1));
}

async function remove(manager: RpmManager, family: RpmFamily, options: RemoveOptions): Promise<void> {
  const { tree, packages, signal } = options;
  if (packages.length === 0) return;
  checkPackageNames(packages);
  using task = (options.progress ?? silentProgress).start({ label: "remove packages", total: packages.length });
  const folder = await mkdtemp(join(tmpdir(), `imgtool-${manager.program}-`));
  try {
    const repositoryFolder = join(folder, "repositories");
    await mkdir(repositoryFolder);
    const { run, tidy } = await manager.prepare({
      tree,
      folder,
      home: await writeRpmMacros(folder, tree),
      repositoryFolder,
      distribution: family.title,
      release: "",
      architecture: namedArchitecture(family, options.architecture),
      signal,
    });
    try {
      const args = [...manager.remove, ...packages];
      await run({ args, doing: "remove packages", mounted: true, offline: true });
    } finally {
      await tidy();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  await removeRpmLogs(tree);
  await normalizeRpmDatabase(tree);
  task.done(`${packages.length} packages`);
}
