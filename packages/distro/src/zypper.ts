/**
 * openSUSE: packages installed by zypper.
 * @module
 */
import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { silentProgress, type Progress } from "@imgtool/core";
import { requireTool, runTool } from "@imgtool/host";
import { resolveInTree } from "@imgtool/sandbox";
import { proxyEnvironment } from "./apt.ts";
import { checkPackageNames } from "./check-names.ts";
import type { Distribution, InstallOptions, InstallResult, RemoveOptions } from "./distribution.ts";
import { installDownloaded, type Downloaded } from "./install-downloaded.ts";
import type { RunPackages } from "./package-run.ts";
import { recordedRepositories, writeRpmMacros, writeRpmWorkspace, type RpmWorkspace } from "./rpm-configuration.ts";
import {
  cleanRpmMetadata,
  cleanRpmVolatile,
  listRpmPackages,
  normalizeRpmDatabase,
  removeRpmLogs,
} from "./rpm-database.ts";
import { rpmArchitecture, type RpmFamily } from "./rpm-family.ts";
import { requireRunnable } from "./runnable.ts";
import { prepareZypper } from "./zypper-run.ts";

const installing = /^\(\d+\/\d+\) Installing: (\S+)/;

/** A distribution whose package manager is zypper. */
export function zypperDistribution(family: RpmFamily): Distribution {
  return {
    name: family.name,
    packageType: "rpm",
    architectureName: (architecture) => rpmArchitecture(family, architecture),
    prepareTree: async () => {},
    install: async (options) => await install(family, options),
    remove: async (options) => await remove(family, options),
    listPackages: listRpmPackages,
    cleanMetadata: cleanRpmMetadata,
    cleanVolatile: cleanRpmVolatile,
  };
}

async function install(family: RpmFamily, options: InstallOptions): Promise<InstallResult> {
  const { tree, release, packages, packageCache, signal } = options;
  const progress = options.progress ?? silentProgress;
  const architecture = rpmArchitecture(family, options.architecture);
  checkPackageNames(packages);
  for (const tool of ["zypper", "rpm", "bwrap"]) await requireTool(tool);
  await requireRunnable(architecture);
  const folder = join(options.workspace, "zypper");
  const workspace = await writeRpmWorkspace(family, options, folder);
  const { run, tidy } = await prepareZypper({
    ...workspace,
    tree,
    folder,
    cache: packageCache === undefined ? undefined : join(packageCache, "zypper", family.name, release),
    distribution: family.title,
    release,
    withDocs: options.withDocs,
    keyCheck: options.repositoryKeyCheck,
    signal,
  });
  if (options.repositoryKeyCheck !== false) await importKeys(tree, workspace, options);
  const base = family.basePackages(release, packages);
  const install = ["install", ...(options.withRecommends === true ? ["--recommends"] : ["--no-recommends"])];
  let downloaded: Downloaded;
  try {
    downloaded = await download(run, [...install, "--download-only", ...base, ...packages], progress);
    const { count } = downloaded;
    await installDownloaded({ run, install, base, packages, installing, count, progress });
  } finally {
    await tidy();
  }
  await removeRpmLogs(tree);
  await normalizeRpmDatabase(tree, options.sourceDateEpoch);
  await rm(folder, { recursive: true, force: true });
  return {
    packages: await listRpmPackages(tree),
    repositories: recordedRepositories(workspace.repositories, { releasever: release, basearch: architecture }),
    downloaded: { files: downloaded.files, bytes: downloaded.bytes },
  };
}

async function download(run: RunPackages, args: readonly string[], progress: Progress): Promise<Downloaded> {
  using task = progress.start({ label: "download packages" });
  let files = 0;
  let bytes = 0;
  const lines = await run({
    args,
    doing: "download packages",
    mounted: false,
    offline: false,
    onLine: (line) => {
      const match = /^Retrieving(?: package|:)? (\S+).*\(\s*\d+\/\d+\), +([\d.]+) ([KMG]?)i?B/.exec(line);
      if (match === null) return;
      files++;
      bytes += Math.round(Number(match[2]) * (units[match[3] ?? ""] ?? 1));
      task.detail(match[1] ?? "");
    },
  });
  const count = lines.map((line) => /^(\d+) new packages? to install/.exec(line)?.[1]).find(Boolean);
  task.done(files === 0 ? "nothing new" : `${files} packages`);
  return { files, bytes, count: Number(count ?? 0) };
}

const units: Readonly<Record<string, number>> = { "": 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 };

/** zypper verifies with the keys in the tree's database alone; keys that are elsewhere it would ask for. */
async function importKeys(tree: string, workspace: RpmWorkspace, options: InstallOptions): Promise<void> {
  const keys = [...new Set(workspace.repositories.filter(({ enabled }) => enabled).flatMap((entry) => entry.keys))];
  if (keys.length === 0) return;
  const database = await resolveInTree(tree, workspace.databaseFolder);
  await mkdir(database, { recursive: true });
  // mkdir obeys the umask.
  for (let path = database; path.length > tree.length; path = dirname(path)) await chmod(path, 0o755);
  await runTool("rpm", [`--root=${tree}`, "--import", ...keys.map((key) => key.replace(/^file:\/\//, ""))], {
    env: { HOME: workspace.home, ...proxyEnvironment() },
    signal: options.signal,
  });
}

async function remove(family: RpmFamily, options: RemoveOptions): Promise<void> {
  const { tree, packages, signal } = options;
  if (packages.length === 0) return;
  checkPackageNames(packages);
  using task = (options.progress ?? silentProgress).start({ label: "remove packages", total: packages.length });
  const folder = await mkdtemp(join(tmpdir(), "imgtool-zypper-"));
  try {
    const repositoryFolder = join(folder, "repositories");
    await mkdir(repositoryFolder);
    const home = await writeRpmMacros(folder, tree);
    const { run, tidy } = await prepareZypper({
      tree,
      folder,
      home,
      repositoryFolder,
      distribution: family.title,
      release: "",
      signal,
    });
    const args = ["remove", "--clean-deps", ...packages];
    try {
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
