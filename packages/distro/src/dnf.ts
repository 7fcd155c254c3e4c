/**
 * Fedora and Red Hat's family: packages installed by dnf.
 * @module
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentProgress, type Progress } from "@imgtool/core";
import { requireTool } from "@imgtool/host";
import { checkPackageNames } from "./check-names.ts";
import type { Distribution, InstallOptions, InstallResult, RemoveOptions } from "./distribution.ts";
import { prepareDnf } from "./dnf-run.ts";
import { installDownloaded, type Downloaded } from "./install-downloaded.ts";
import type { RunPackages } from "./package-run.ts";
import { recordedRepositories, writeRpmMacros, writeRpmWorkspace } from "./rpm-configuration.ts";
import {
  cleanRpmMetadata,
  cleanRpmVolatile,
  listRpmPackages,
  normalizeRpmDatabase,
  removeRpmLogs,
} from "./rpm-database.ts";
import { rpmArchitecture, type RpmFamily } from "./rpm-family.ts";
import { requireRunnable } from "./runnable.ts";

const installing = /^ +Installing +: (\S+)/;

/** A distribution whose package manager is dnf. */
export function dnfDistribution(family: RpmFamily): Distribution {
  return {
    name: family.name,
    packageType: "rpm",
    architectureName: (architecture) => rpmArchitecture(family, architecture),
    // The first package brings the root's folders and links.
    prepareTree: async () => {},
    install: async (options) => await install(family, options),
    remove: async (options) => await remove(family, options),
    listPackages: listRpmPackages,
    cleanMetadata: cleanRpmMetadata,
    cleanVolatile: cleanRpmVolatile,
  };
}

async function install(family: RpmFamily, options: InstallOptions): Promise<InstallResult> {
  const { tree, release, packages, packageCache } = options;
  const progress = options.progress ?? silentProgress;
  const architecture = rpmArchitecture(family, options.architecture);
  checkPackageNames(packages);
  for (const tool of ["dnf", "rpm", "bwrap"]) await requireTool(tool);
  await requireRunnable(architecture);
  const folder = join(options.workspace, "dnf");
  const workspace = await writeRpmWorkspace(family, options, folder);
  const variables = family.variables?.(release) ?? {};
  const { run, tidy } = await prepareDnf({
    ...workspace,
    tree,
    folder,
    cache: packageCache === undefined ? undefined : join(packageCache, "dnf", family.name, release),
    variables,
    distribution: family.title,
    release,
    architecture,
    withRecommends: options.withRecommends,
    withDocs: options.withDocs,
    keyCheck: options.repositoryKeyCheck,
    signal: options.signal,
  });
  const base = family.basePackages(release, packages);
  let downloaded: Downloaded;
  try {
    downloaded = await download(run, [...base, ...packages], progress);
    const { count } = downloaded;
    await installDownloaded({ run, install: ["install"], base, packages, installing, count, progress });
  } finally {
    await tidy();
  }
  await removeRpmLogs(tree);
  await normalizeRpmDatabase(tree, options.sourceDateEpoch);
  await rm(folder, { recursive: true, force: true });
  return {
    packages: await listRpmPackages(tree),
    repositories: recordedRepositories(workspace.repositories, {
      releasever: release,
      basearch: architecture,
      ...variables,
    }),
    downloaded: { files: downloaded.files, bytes: downloaded.bytes },
  };
}

/** Resolves and downloads everything before a package is installed: what is wrong with names shows in seconds. */
async function download(run: RunPackages, packages: readonly string[], progress: Progress): Promise<Downloaded> {
  using task = progress.start({ label: "download packages" });
  let files = 0;
  const lines = await run({
    args: ["install", "--downloadonly", ...packages],
    doing: "download packages",
    mounted: false,
    offline: false,
    onLine: (line) => {
      const name = /^(?:\(\d+\/\d+\): )?(\S+\.rpm) .*\|/.exec(line)?.[1];
      if (name === undefined) return;
      files++;
      task.detail(name);
    },
  });
  const found = (pattern: RegExp): string | undefined => lines.map((line) => pattern.exec(line)?.[1]).find(Boolean);
  task.done(files === 0 ? "nothing new" : `${files} packages`);
  return {
    files,
    bytes: files === 0 ? 0 : parseSize(found(/^Total download size: (.+)$/) ?? ""),
    count: Number(found(/^Install +(\d+) Packages?$/) ?? 0),
  };
}

/** Bytes of dnf's `4.5 M`: it says them no more exactly. */
export function parseSize(text: string): number {
  const match = /^([\d.]+) ?([kMG]?)/.exec(text);
  const units: Readonly<Record<string, number>> = { "": 1, k: 1024, M: 1024 ** 2, G: 1024 ** 3 };
  return match === null ? 0 : Math.round(Number(match[1]) * (units[match[2] ?? ""] ?? 1));
}

async function remove(family: RpmFamily, options: RemoveOptions): Promise<void> {
  const { tree, packages, signal } = options;
  if (packages.length === 0) return;
  checkPackageNames(packages);
  using task = (options.progress ?? silentProgress).start({ label: "remove packages", total: packages.length });
  const folder = await mkdtemp(join(tmpdir(), "imgtool-dnf-"));
  try {
    const repositoryFolder = join(folder, "repositories");
    await mkdir(repositoryFolder);
    const home = await writeRpmMacros(folder, tree);
    const architecture = rpmArchitecture(family, options.architecture);
    const common = { distribution: family.title, release: "", architecture, signal };
    const { run, tidy } = await prepareDnf({ ...common, tree, folder, home, repositoryFolder });
    try {
      await run({ args: ["remove", ...packages], doing: "remove packages", mounted: true, offline: true });
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
