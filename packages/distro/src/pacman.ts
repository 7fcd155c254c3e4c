/**
 * Arch Linux: packages installed by pacman.
 * @module
 */
import { chmod, copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError, silentProgress, type Progress } from "@imgtool/core";
import { requireTool, runTool } from "@imgtool/host";
import { proxyEnvironment } from "./apt.ts";
import type { PacmanFamily, PacmanRepository } from "./arch.ts";
import { checkPackageNames } from "./check-names.ts";
import type {
  Distribution,
  InstallOptions,
  InstallResult,
  RemoveOptions,
  ScriptTools,
  LockedPackage,
} from "./distribution.ts";
import type { FailureWords } from "./package-error.ts";
import { localRepositoryName, makePacmanRepository } from "./local-packages.ts";
import { mirrorUri } from "./mirror-uri.ts";
import { cacheIncomplete } from "./cache-only.ts";
import { fetchFiles, keepFiles, plainFiles } from "./package-cache.ts";
import { installDownloaded, type Downloaded } from "./install-downloaded.ts";
import { lockByInstalling } from "./lock-by-installing.ts";
import { checkLockedTree, lockedNames, notInstalled, staleLockError, withDigests } from "./locked.ts";
import { packageRunner, type RunPackages } from "./package-run.ts";
import { lockedPacmanRepository, pacmanFileName, pacmanPlaces } from "./pacman-locked.ts";
import {
  cleanPacmanMetadata,
  cleanPacmanVolatile,
  listFolder,
  listPacmanPackages,
  setPacmanInstallTimes,
} from "./pacman-database.ts";
import { preparePacmanKeys } from "./pacman-keys.ts";
import { namedArchitecture } from "./named-architecture.ts";
import { digestAvailable } from "./repository-digest.ts";
import { requireRunnable } from "./runnable.ts";
import { scriptCache, scriptTools } from "./script-programs.ts";

/** What pacman says when something is the matter. */
const words: FailureWords = {
  unknown: [/^error: target not found: (\S+)$/],
  signature: [
    /invalid or corrupted (?:package|database) \(PGP signature\)/,
    /signature from "[^"]*" is (?:unknown trust|invalid|marginal trust)/,
    /missing required signature/,
    /key "[^"]*" could not be (?:looked up|imported)/,
  ],
  unreachable: [/^error: failed retrieving file '[^']+' from (\S+)/, /failed to synchronize (?:all|any) databases/],
  unmet: [/^:: (unable to satisfy dependency .*)$/, /^:: (\S+ and \S+ are in conflict.*)$/],
  script: [/command failed to execute correctly/],
};

/** A distribution whose package manager is pacman. */
export function pacmanDistribution(family: PacmanFamily): Distribution {
  const distribution: Distribution = {
    name: family.name,
    packageType: "pkg",
    cacheName: () => cacheName(family),
    architectureName: (architecture) => namedArchitecture(family, architecture),
    prepareTree: async () => {},
    install: async (options) => await install(family, options),
    fingerprint: async (options, requests) => await fingerprint(family, options, requests),
    lock: async (options, requests) =>
      await lockByInstalling(
        {
          distribution,
          places: async (all) => pacmanPlaces(all, family.name, cacheFolder(family, all)),
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

function cacheFolder(family: PacmanFamily, { packageCache, workspace }: InstallOptions): string {
  return packageCache === undefined ? join(workspace, "pacman", "cache") : join(packageCache, cacheName(family));
}

function cacheName(family: PacmanFamily): string {
  return join("pacman", family.name);
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
  const repositories = chooseRepositories(family, options);
  const keyFolder = options.repositoryKeyCheck === false ? undefined : await preparePacmanKeys(family, folder, options);
  const cache = cacheFolder(family, options);
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

/** What the lists of the repositories have; nothing is resolved. */
async function fingerprint(
  family: PacmanFamily,
  options: InstallOptions,
  requests: readonly (readonly string[])[],
): Promise<string[]> {
  for (const tool of ["pacman", "bwrap"]) await requireTool(tool);
  const { packageDirectories, signal, cacheOnly } = options;
  const folder = join(options.workspace, "pacman-lists");
  const [tree, cache] = [join(folder, "tree"), cacheFolder(family, options)];
  await mkdir(join(tree, listFolder), { recursive: true });
  const repositories = chooseRepositories(family, options);
  if (await readLists({ tree, cache, own: undefined, options })) {
    using task = (options.progress ?? silentProgress).start({ label: "read package lists" });
    const keyFolder =
      options.repositoryKeyCheck === false ? undefined : await preparePacmanKeys(family, folder, options);
    const architecture = namedArchitecture(family, options.architecture);
    const run = await preparePacman(family, {
      tree,
      folder,
      cache,
      architecture,
      keyFolder,
      repositories,
      cacheOnly,
      signal,
    });
    await run({ args: ["--sync", "--refresh"], doing: "read package lists", mounted: false, offline: false });
    await keepLists(tree, cache);
    task.done();
  }
  const lists = repositories.map(({ name }) => [name, join(tree, listFolder, `${name}.db`)] as const);
  const digests = await digestAvailable({ type: "pkg", lists, packageDirectories }, requests);
  await rm(folder, { recursive: true, force: true });
  return digests;
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
  const refresh = await readLists({ tree, cache, own: own === undefined ? undefined : join(folder, "own"), options });
  const downloaded = await download(run, packages, refresh, progress);
  if (refresh) await keepLists(tree, cache);
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
      const refresh = await readLists({ tree, cache, own: section === undefined ? undefined : own, options });
      const exactly = locked.map(({ name, version }) => `${name}=${version}`);
      fetched = await download(fetcher, exactly, refresh, progress);
      if (refresh) await keepLists(tree, cache);
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

/**
 * Gives the tree the cached lists where they may not be read anew; returns whether they may.
 * @throws NotFoundError `cache-incomplete`
 */
async function readLists({
  tree,
  cache,
  own,
  options,
}: {
  readonly tree: string;
  readonly cache: string;
  /** Folder of the project's own repository. */
  readonly own: string | undefined;
  readonly options: InstallOptions;
}): Promise<boolean> {
  if ((options.cacheOnly ?? "nothing") === "nothing") return true;
  const folder = join(tree, listFolder);
  await mkdir(folder, { recursive: true });
  if ((await plainFiles(join(cache, "sync"))).length === 0) {
    if (options.cacheOnly === "metadata") return true;
    throw cacheIncomplete("the package lists");
  }
  await fetchFiles(join(cache, "sync"), folder);
  if (own !== undefined) {
    const list = `${localRepositoryName}.db`;
    await rm(join(folder, list), { force: true });
    await copyFile(join(own, `${list}.tar.gz`), join(folder, list));
  }
  return false;
}

async function keepLists(tree: string, cache: string): Promise<void> {
  const folder = join(tree, listFolder);
  await keepFiles(folder, join(cache, "sync"), await plainFiles(folder));
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

interface PacmanOptions {
  readonly tree: string;
  readonly folder: string;
  readonly cache: string;
  readonly architecture: string;
  /** Undefined when signatures are not checked. */
  readonly keyFolder: string | undefined;
  readonly repositories: readonly PacmanRepository[];
  /** Lines of the configuration for the project's own packages: pacman takes a package from the first that has it. */
  readonly ownRepository?: readonly string[] | undefined;
  readonly withDocs?: boolean | undefined;
  readonly cacheOnly?: InstallOptions["cacheOnly"];
  readonly signal: AbortSignal | undefined;
}

async function pacmanScriptTools(family: PacmanFamily, options: InstallOptions, mounted: string): Promise<ScriptTools> {
  const folder = join(options.workspace, "pacman-scripts");
  await mkdir(folder, { recursive: true });
  const keyFolder = options.repositoryKeyCheck === false ? undefined : await preparePacmanKeys(family, folder, options);
  const cache =
    options.packageCache === undefined ? join(folder, "cache") : join(options.packageCache, cacheName(family));
  await mkdir(cache, { recursive: true });
  const own = await makePacmanRepository(options.packageDirectories ?? [], join(folder, "own"), options.signal);
  for (const name of own?.files ?? []) await rm(join(cache, name), { force: true });
  const { common, env } = await configurePacman({
    tree: mounted,
    folder,
    cache: scriptCache,
    architecture: namedArchitecture(family, options.architecture),
    keyFolder,
    repositories: chooseRepositories(family, options),
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

async function preparePacman(family: PacmanFamily, options: PacmanOptions): Promise<RunPackages> {
  const { tree, cache, signal } = options;
  await mkdir(cache, { recursive: true });
  await mkdir(join(tree, "var/lib/pacman"), { recursive: true });
  for (const path of ["var", "var/lib", "var/lib/pacman"]) await chmod(join(tree, path), 0o755);
  const { common, env } = await configurePacman(options);
  return packageRunner({
    program: "pacman",
    common,
    offline: [],
    env,
    words,
    tree,
    distribution: family.title,
    release: "",
    known: async () =>
      (await runTool("pacman", [...common, "--sync", "--list", "--quiet"], { signal })).stdout.split("\n"),
    cacheOnly: options.cacheOnly,
    signal,
  });
}

interface PacmanCommand {
  /** What every command begins with. */
  readonly common: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** Writes the configuration. */
async function configurePacman(options: PacmanOptions): Promise<PacmanCommand> {
  const { tree, folder, cache, architecture, keyFolder, repositories } = options;
  const configuration = join(folder, "pacman.conf");
  const lines = [
    "[options]",
    // Arch Linux signs packages, and not its lists of them.
    `SigLevel = ${keyFolder === undefined ? "Never" : "Required DatabaseOptional"}`,
    `Architecture = ${architecture}`,
    "ParallelDownloads = 5",
    ...(options.withDocs === false
      ? ["doc", "gtk-doc", "help", "info", "man"].map((name) => `NoExtract = usr/share/${name}/*`)
      : []),
    ...(options.ownRepository ?? []),
    ...repositories.flatMap(({ name, server }) => ["", `[${name}]`, `Server = ${server}`]),
  ];
  await writeFile(configuration, `${lines.join("\n")}\n`);
  const common = [
    `--config=${configuration}`,
    `--root=${tree}`,
    "--logfile=/dev/null",
    `--cachedir=${cache}`,
    `--hookdir=${join(tree, "etc/pacman.d/hooks")}`,
    ...(keyFolder === undefined ? [] : [`--gpgdir=${keyFolder}`]),
    "--noconfirm",
    "--noprogressbar",
  ];
  return { common, env: { SYSTEMD_OFFLINE: "1", ...proxyEnvironment() } };
}

function chooseRepositories(family: PacmanFamily, options: InstallOptions): PacmanRepository[] {
  const wanted = options.repositories ?? [];
  for (const name of wanted) {
    if (family.optional.includes(name) || family.repositories.includes(name)) continue;
    throw new ConfigError(`${family.title} has no repository "${name}"`, {
      code: "repository-unknown",
      hint: `Repositories= is any of ${family.optional.join(", ")}`,
      data: { repository: name, known: family.optional },
    });
  }
  const local = mirrorUri("LocalMirror", options.localMirror);
  if (local !== undefined) return [{ name: family.repositories[0] ?? "core", server: local }];
  const server = family.server({ mirror: mirrorUri("Mirror", options.mirror), snapshot: options.snapshot });
  const optional = family.optional.filter((name) => wanted.includes(name));
  return [...optional, ...family.repositories].map((name) => ({ name, server }));
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
