/**
 * Arch Linux: packages installed by pacman.
 * @module
 */
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError, silentProgress } from "@imgtool/core";
import { requireTool, runTool } from "@imgtool/host";
import { proxyEnvironment } from "./apt.ts";
import type { PacmanFamily, PacmanRepository } from "./arch.ts";
import { checkPackageNames } from "./check-names.ts";
import type { Distribution, InstallOptions, InstallResult, RemoveOptions } from "./distribution.ts";
import type { FailureWords } from "./package-error.ts";
import { mirrorUri } from "./mirror-uri.ts";
import { installDownloaded, type Downloaded } from "./install-downloaded.ts";
import { packageRunner, type RunPackages } from "./package-run.ts";
import {
  cleanPacmanMetadata,
  cleanPacmanVolatile,
  listPacmanPackages,
  setPacmanInstallTimes,
} from "./pacman-database.ts";
import { preparePacmanKeys } from "./pacman-keys.ts";
import { namedArchitecture } from "./named-architecture.ts";
import { requireRunnable } from "./runnable.ts";

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
  return {
    name: family.name,
    packageType: "pkg",
    architectureName: (architecture) => namedArchitecture(family, architecture),
    prepareTree: async () => {},
    install: async (options) => await install(family, options),
    remove: async (options) => await remove(family, options),
    listPackages: listPacmanPackages,
    cleanMetadata: cleanPacmanMetadata,
    cleanVolatile: cleanPacmanVolatile,
  };
}

async function install(family: PacmanFamily, options: InstallOptions): Promise<InstallResult> {
  const { tree, packages, signal } = options;
  const progress = options.progress ?? silentProgress;
  const architecture = namedArchitecture(family, options.architecture);
  checkPackageNames(packages);
  for (const tool of ["pacman", "bwrap"]) await requireTool(tool);
  await requireRunnable(architecture);
  const folder = join(options.workspace, "pacman");
  await mkdir(folder);
  const repositories = chooseRepositories(family, options);
  const keyFolder = options.repositoryKeyCheck === false ? undefined : await preparePacmanKeys(family, folder, options);
  const cache =
    options.packageCache === undefined ? join(folder, "cache") : join(options.packageCache, "pacman", family.name);
  const run = await preparePacman(family, {
    tree,
    folder,
    cache,
    architecture,
    keyFolder,
    repositories,
    signal,
    withDocs: options.withDocs,
  });

  const all = [...family.basePackages, ...packages];
  const downloaded = await download(run, all, progress);
  await installDownloaded({
    run,
    install: ["--sync", "--needed"],
    base: family.basePackages,
    packages,
    installing: /^(?:\(\d+\/\d+\) )?installing (\S+?)\.{3}/,
    count: downloaded.count,
    progress,
  });
  await cleanPacmanVolatile(tree);
  if (options.sourceDateEpoch !== undefined) await setPacmanInstallTimes(tree, options.sourceDateEpoch);
  await rm(folder, { recursive: true, force: true });
  return {
    packages: await listPacmanPackages(tree),
    repositories: repositories.map(({ name, server }) => ({
      uri: server.replaceAll("$repo", name).replaceAll("$arch", architecture),
      suite: name,
      components: [],
    })),
    downloaded: { files: downloaded.files, bytes: downloaded.bytes },
  };
}

/** Reads the lists of packages, and downloads all that is needed before a package is installed. */
async function download(
  run: RunPackages,
  packages: readonly string[],
  progress: NonNullable<InstallOptions["progress"]>,
): Promise<Downloaded> {
  using task = progress.start({ label: "download packages" });
  let files = 0;
  const common = { doing: "download packages", mounted: false, offline: false };
  const lines = await run({
    ...common,
    args: ["--sync", "--refresh", "--downloadonly", ...packages],
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
  readonly withDocs?: boolean | undefined;
  readonly signal: AbortSignal | undefined;
}

async function preparePacman(family: PacmanFamily, options: PacmanOptions): Promise<RunPackages> {
  const { tree, folder, cache, architecture, keyFolder, repositories, signal } = options;
  await mkdir(cache, { recursive: true });
  await mkdir(join(tree, "var/lib/pacman"), { recursive: true });
  for (const path of ["var", "var/lib", "var/lib/pacman"]) await chmod(join(tree, path), 0o755);
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
  return packageRunner({
    program: "pacman",
    common,
    offline: [],
    env: { SYSTEMD_OFFLINE: "1", ...proxyEnvironment() },
    words,
    tree,
    distribution: family.title,
    release: "",
    known: async () =>
      (await runTool("pacman", [...common, "--sync", "--list", "--quiet"], { signal })).stdout.split("\n"),
    signal,
  });
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
