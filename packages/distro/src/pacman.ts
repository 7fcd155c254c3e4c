/**
 * Arch Linux: packages installed by pacman.
 * @module
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentProgress, type Progress } from "@imgtool/core";
import { requireTool } from "@imgtool/host";
import type { PacmanFamily } from "./arch.ts";
import { checkPackageNames } from "./check-names.ts";
import type {
  Distribution,
  InstallOptions,
  InstallResult,
  RemoveOptions,
  ScriptTools,
  LockedPackage,
} from "./distribution.ts";
import { makePacmanRepository } from "./local-packages.ts";
import { installDownloaded, type Downloaded } from "./install-downloaded.ts";
import { lockByInstalling } from "./lock-by-installing.ts";
import { checkLockedTree, lockedNames, notInstalled, staleLockError, withDigests } from "./locked.ts";
import type { RunPackages } from "./package-run.ts";
import { lockedPacmanRepository, pacmanFileName, pacmanPlaces } from "./pacman-locked.ts";
import {
  cleanPacmanMetadata,
  cleanPacmanVolatile,
  listPacmanPackages,
  setPacmanInstallTimes,
} from "./pacman-database.ts";
import { preparePacmanKeys } from "./pacman-keys.ts";
import { keepPacmanLists, pacmanFingerprint, readPacmanLists } from "./pacman-lists.ts";
import {
  choosePacmanRepositories,
  configurePacman,
  pacmanCacheFolder,
  pacmanCacheName,
  type PacmanOptions,
  preparePacman,
} from "./pacman-run.ts";
import { namedArchitecture } from "./named-architecture.ts";
import { requireRunnable } from "./runnable.ts";
import { scriptCache, scriptTools } from "./script-programs.ts";

/** A distribution whose package manager is pacman. */
export function pacmanDistribution(family: PacmanFamily): Distribution {
  const distribution: Distribution = {
    name: family.name,
    packageType: "pkg",
    cacheName: () => pacmanCacheName(family),
    architectureName: (architecture) => namedArchitecture(family, architecture),
    prepareTree: async () => {},
    install: async (options) => await install(family, options),
    fingerprint: async (options, requests) => await pacmanFingerprint(family, options, requests),
    lock: async (options, requests) =>
      await lockByInstalling(
        {
          distribution,
          places: async (all) => pacmanPlaces(all, family.name, pacmanCacheFolder(family, all)),
          fileName: pacmanFileName,
        },
        options,
        requests,
      ),
    scriptTools: async (options, mounted) => await pacmanScriptTools(family, options, mounted),
    remove: async (options) => await remove(family, options),
    listPackages: listPacmanPackages,
    cleanMetadata: cleanPacmanMetadata,
    cleanVolatile: cleanPacmanVolatile,
  };
  return distribution;
}

async function install(family: PacmanFamily, options: InstallOptions): Promise<InstallResult> {
  const { tree, packages, locked, signal } = options;
  const progress = options.progress ?? silentProgress;
  const architecture = namedArchitecture(family, options.architecture);
  checkPackageNames(packages);
  for (const tool of ["pacman", "bwrap"]) await requireTool(tool);
  await requireRunnable(architecture);
  const folder = join(options.workspace, "pacman");
  await mkdir(folder);
  const repositories = choosePacmanRepositories(family, options);
  const keyFolder = options.repositoryKeyCheck === false ? undefined : await preparePacmanKeys(family, folder, options);
  const cache = pacmanCacheFolder(family, options);
  const { withDocs, cacheOnly } = options;
  const common = { tree, folder, cache, architecture, keyFolder, repositories, signal, withDocs, cacheOnly };
  const before = locked === undefined ? [] : await listPacmanPackages(tree);
  // The repository of what is locked does not have what the tree has already.
  const had = new Set(before.map(({ name }) => name));
  const isMissing = (name: string): boolean => !had.has(name.split("=")[0] ?? name);
  const [base, further] = [family.basePackages.filter(isMissing), packages.filter(isMissing)];
  const places = { family, options, common };
  const { run, downloaded } = await (locked === undefined
    ? prepareChosen(places, [...base, ...further], progress)
    : prepareLocked(places, notInstalled(locked, before), [...base, ...further], progress));
  await installDownloaded({
    run,
    install: ["--sync", "--needed"],
    base,
    packages: further,
    installing: /^(?:\(\d+\/\d+\) )?installing (\S+?)\.{3}/,
    count: downloaded.count,
    progress,
  });
  // before the lists go that know the digests
  const installed = await listPacmanPackages(tree);
  await cleanPacmanVolatile(tree);
  if (options.sourceDateEpoch !== undefined) await setPacmanInstallTimes(tree, options.sourceDateEpoch);
  await rm(folder, { recursive: true, force: true });
  if (locked !== undefined) checkLockedTree(installed, locked, before);
  return {
    packages: withDigests(installed, locked ?? []),
    repositories: repositories.map(({ name, server }) => ({
      uri: server.replaceAll("$repo", name).replaceAll("$arch", architecture),
      suite: name,
      components: [],
    })),
    downloaded: { files: downloaded.files, bytes: downloaded.bytes },
  };
}

interface PacmanPlaces {
  readonly family: PacmanFamily;
  readonly options: InstallOptions;
  /** What every run of pacman has. */
  readonly common: Omit<PacmanOptions, "ownRepository">;
}

/** A run of pacman, and what it needs downloaded. */
interface PreparedPacman {
  readonly run: RunPackages;
  readonly downloaded: Downloaded;
}

/** Downloads what pacman chooses for these packages. */
async function prepareChosen(
  { family, options, common }: PacmanPlaces,
  packages: readonly string[],
  progress: Progress,
): Promise<PreparedPacman> {
  const { tree, folder, cache } = common;
  const own = await makePacmanRepository(options.packageDirectories ?? [], join(folder, "own"), options.signal);
  // Another build may have left other bytes under their names.
  for (const name of own?.files ?? []) await rm(join(cache, name), { force: true });
  const run = await preparePacman(family, { ...common, ownRepository: own?.section });
  const refresh = await readPacmanLists({
    tree,
    cache,
    own: own === undefined ? undefined : join(folder, "own"),
    options,
  });
  const downloaded = await download(run, packages, refresh, progress);
  if (refresh) await keepPacmanLists(tree, cache);
  return { run, downloaded };
}

/**
 * Downloads what is locked and not here; the run knows these packages and no others.
 * @throws NotFoundError `lock-unsatisfied`, `lock-stale`
 */
async function prepareLocked(
  { family, options, common }: PacmanPlaces,
  locked: readonly LockedPackage[],
  packages: readonly string[],
  progress: Progress,
): Promise<PreparedPacman> {
  const { tree, folder, cache } = common;
  // Without any repository pacman says nothing of the packages.
  if (locked.length === 0) lockedNames(packages, locked);
  const none = { files: 0, bytes: 0, count: 0 };
  let fetched: Downloaded = none;
  const ownRepository = await lockedPacmanRepository({
    locked,
    folder: join(folder, "locked"),
    places: pacmanPlaces(options, family.name, cache),
    async fetch(section, own) {
      const fetcher = await preparePacman(family, { ...common, ownRepository: section });
      const refresh = await readPacmanLists({ tree, cache, own: section === undefined ? undefined : own, options });
      const exactly = locked.map(({ name, version }) => `${name}=${version}`);
      fetched = await download(fetcher, exactly, refresh, progress);
      if (refresh) await keepPacmanLists(tree, cache);
    },
    signal: options.signal,
  });
  // All of it is here.
  const here = { cache: join(folder, "locked-cache"), repositories: [], cacheOnly: "nothing" } as const;
  const run = await preparePacman(family, { ...common, ...here, ownRepository });
  const { count } =
    packages.length === 0
      ? none
      : await download(run, packages, true, progress).catch((error: unknown) => {
          throw staleLockError(error);
        });
  return { run, downloaded: { ...fetched, count } };
}

/** Reads the lists of packages, and downloads all that is needed before a package is installed. */
async function download(
  run: RunPackages,
  packages: readonly string[],
  refresh: boolean,
  progress: NonNullable<InstallOptions["progress"]>,
): Promise<Downloaded> {
  using task = progress.start({ label: "download packages" });
  let files = 0;
  const common = { doing: "download packages", mounted: false, offline: false };
  const lines = await run({
    ...common,
    args: ["--sync", ...(refresh ? ["--refresh"] : []), "--downloadonly", ...packages],
    onLine: (line) => {
      const name = /^ (\S+-\S+-\S+-\S+) downloading\.\.\.$/.exec(line)?.[1];
      if (name === undefined) return;
      files++;
      task.detail(name);
    },
  });
  const found = (pattern: RegExp): string => lines.map((line) => pattern.exec(line)?.[1]).find(Boolean) ?? "";
  task.done(files === 0 ? "nothing new" : `${files} packages`);
  return {
    files,
    bytes: Math.round(Number(found(/^Total Download Size: +([\d.]+) MiB/)) * 1024 ** 2),
    count: Number(found(/^Packages? \((\d+)\)/)),
  };
}

async function pacmanScriptTools(family: PacmanFamily, options: InstallOptions, mounted: string): Promise<ScriptTools> {
  const folder = join(options.workspace, "pacman-scripts");
  await mkdir(folder, { recursive: true });
  const keyFolder = options.repositoryKeyCheck === false ? undefined : await preparePacmanKeys(family, folder, options);
  const cache =
    options.packageCache === undefined ? join(folder, "cache") : join(options.packageCache, pacmanCacheName(family));
  await mkdir(cache, { recursive: true });
  const own = await makePacmanRepository(options.packageDirectories ?? [], join(folder, "own"), options.signal);
  for (const name of own?.files ?? []) await rm(join(cache, name), { force: true });
  const { common, env } = await configurePacman({
    tree: mounted,
    folder,
    cache: scriptCache,
    architecture: namedArchitecture(family, options.architecture),
    keyFolder,
    repositories: choosePacmanRepositories(family, options),
    ownRepository: own?.section,
    withDocs: options.withDocs,
    signal: options.signal,
  });
  return scriptTools({
    program: "pacman",
    common,
    env,
    mounted,
    folder,
    cache,
    install: options,
    refresh: ["--sync", "--refresh"],
    words: {
      install: ["--sync", "--needed"],
      upgrade: ["--sync", "--sysupgrade", "--needed"],
      reinstall: ["--sync"],
      remove: ["--remove", "--recursive", "--nosave"],
    },
  });
}

async function remove(family: PacmanFamily, options: RemoveOptions): Promise<void> {
  const { tree, packages, signal } = options;
  if (packages.length === 0) return;
  checkPackageNames(packages);
  using task = (options.progress ?? silentProgress).start({ label: "remove packages", total: packages.length });
  const folder = await mkdtemp(join(tmpdir(), "imgtool-pacman-"));
  try {
    const architecture = namedArchitecture(family, options.architecture);
    const cache = join(folder, "cache");
    const common = { tree, folder, cache, architecture, keyFolder: undefined, repositories: [], signal };
    const run = await preparePacman(family, common);
    const args = ["--remove", "--recursive", "--cascade", "--nosave", ...packages];
    await run({ args, doing: "remove packages", mounted: true, offline: true });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  await cleanPacmanVolatile(tree);
  task.done(`${packages.length} packages`);
}
