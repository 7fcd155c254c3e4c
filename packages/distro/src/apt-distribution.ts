/**
 * Debian and Ubuntu: packages planned and downloaded by apt, installed by mmdebstrap.
 * @module
 */
import { createHash } from "node:crypto";
import { access, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { EnvironmentError, silentProgress, systemErrorCode } from "@imgtool/core";
import { makeAtomically, pathExists, requireTool } from "@imgtool/host";
import { resolveInTree, runIsolated } from "@imgtool/sandbox";
import { AptRoot, hostAptConfiguration, type Plan } from "./apt.ts";
import { aptError } from "./apt-errors.ts";
import { formatDeb822Sources } from "./apt-sources.ts";
import {
  debianArchitecture,
  readHostRepositories,
  repositoriesFor,
  type DebianFamily,
  type RepositoryOptions,
} from "./debian.ts";
import type {
  Distribution,
  InstalledPackage,
  InstallOptions,
  InstallResult,
  LockedPackage,
  LockRequest,
  RemoveOptions,
  Repository,
  ScriptTools,
} from "./distribution.ts";
import { checkPackageNames } from "./check-names.ts";
import { makeAptRepository } from "./local-packages.ts";
import { cleanDpkgMetadata, cleanDpkgVolatile, listDpkgPackages } from "./dpkg.ts";
import { aptScriptTools } from "./apt-scripts.ts";
import { hostMounts } from "./script-programs.ts";
import { installOnto, treeConfiguration } from "./apt-tree.ts";
import type { PackageFile } from "./package-cache.ts";
import { checkLockedFiles, checkLockedTree, lockedNames, lockError, lockFiles, notInstalled } from "./locked.ts";
import { linkMergedUsr, runMmdebstrap } from "./mmdebstrap.ts";

/** A distribution of the Debian family. */
export function aptDistribution(family: DebianFamily): Distribution {
  return {
    name: family.name,
    packageType: "deb",
    cacheName: () => cacheName(family),
    architectureName: debianArchitecture,
    prepareTree: async (tree, architecture) => await linkMergedUsr(tree, debianArchitecture(architecture)),
    install: async (options) => await install(family, options),
    fingerprint: async (options, lists) => await fingerprint(family, options, lists),
    lock: async (options, requests) => await lock(family, options, requests),
    scriptTools: async (options, mounted) => await scriptTools(family, options, mounted),
    remove: async (options) => await remove(family, options),
    listPackages: listDpkgPackages,
    cleanMetadata: cleanDpkgMetadata,
    cleanVolatile: cleanDpkgVolatile,
  };
}

interface ChosenApt {
  readonly architecture: string;
  /** What apt and mmdebstrap are both told. */
  readonly common: Pick<
    ConstructorParameters<typeof AptRoot>[0],
    | "family"
    | "release"
    | "architecture"
    | "repositories"
    | "keyCheck"
    | "withRecommends"
    | "hostConfiguration"
    | "isSnapshot"
  >;
  readonly chosen: Omit<RepositoryOptions, "host" | "localMirror">;
  /** Of the project's own packages, which is the last of the repositories. */
  readonly own: Repository | undefined;
  readonly ownFolder: string;
  readonly packageCache: string | undefined;
}

interface PreparedApt extends ChosenApt {
  readonly isBased: boolean;
  readonly apt: AptRoot;
}

/** One for all releases: a file's name has its version. */
function cacheName(family: DebianFamily): string {
  return join("apt", family.name);
}

/** What the packages come from. `folder`: of the workspace, for the repository of the project's own. */
async function choose(family: DebianFamily, options: InstallOptions, folder: string): Promise<ChosenApt> {
  const { workspace, release, signal } = options;
  const keyCheck = options.repositoryKeyCheck ?? true;
  const withRecommends = options.withRecommends ?? false;
  const architecture = debianArchitecture(options.architecture);
  const components = [...new Set(["main", ...(options.repositories ?? [])])];
  const { mirror, localMirror, snapshot } = options;
  const chosen = { release, architecture, mirror, snapshot, components };
  const host = await readHostRepositories(family.name);
  const repositories = await withOwnKeys(
    repositoriesFor(family, { ...chosen, localMirror, host }),
    options.sandboxTree,
  );
  const ownFolder = join(workspace, folder);
  const own = await makeAptRepository(options.packageDirectories ?? [], ownFolder, signal);
  if (own !== undefined) repositories.push(own);
  const hostConfiguration = await hostAptConfiguration(signal);

  const isSnapshot = snapshot !== undefined;
  const common = {
    family,
    release,
    architecture,
    repositories,
    keyCheck,
    withRecommends,
    hostConfiguration,
    isSnapshot,
  };
  const packageCache = options.packageCache === undefined ? undefined : join(options.packageCache, cacheName(family));
  return { architecture, common, chosen, own, ownFolder, packageCache };
}

/** Reads the lists of the archives. */
async function prepare(family: DebianFamily, options: InstallOptions): Promise<PreparedApt> {
  const { tree, workspace, signal } = options;
  const progress = options.progress ?? silentProgress;
  checkPackageNames(options.packages);
  await requireTool("mmdebstrap");
  await requireTool("bwrap");
  const choice = await choose(family, options, "own-packages");
  const { common, packageCache } = choice;
  if (common.keyCheck) await requireKeyrings(family, common.repositories);
  const isBased = await pathExists(await resolveInTree(tree, "var/lib/dpkg/status", { followLast: true }));
  const installed = isBased ? tree : undefined;
  const apt = new AptRoot({
    ...common,
    root: join(workspace, "apt"),
    installed,
    packageCache,
    cacheOnly: options.cacheOnly,
    own: choice.own,
    progress,
    signal,
  });
  await apt.create();
  await apt.update();
  return { ...choice, isBased, apt };
}

async function scriptTools(family: DebianFamily, options: InstallOptions, mounted: string): Promise<ScriptTools> {
  const { common, ...choice } = await choose(family, options, "script-packages");
  const apt = new AptRoot({
    ...common,
    root: join(options.workspace, "apt-scripts"),
    packageCache: choice.packageCache,
    progress: silentProgress,
    signal: options.signal,
  });
  await apt.create();
  const { hostConfiguration, withRecommends } = common;
  const { withDocs = true } = options;
  return await aptScriptTools({
    ...choice,
    apt,
    mounted,
    hostConfiguration,
    withRecommends,
    withDocs,
    locked: options.locked,
    hostMounts: hostMounts(options),
  });
}

/**
 * The packages that would be installed, each by the digest that the archive vouches for.
 * @param before what the tree has already
 */
async function planLocked(
  apt: AptRoot,
  packages: readonly string[],
  locked: readonly LockedPackage[],
  before: readonly InstalledPackage[],
): Promise<Plan> {
  lockedNames(packages, locked, before);
  const wanted = notInstalled(locked, before);
  const names = wanted.map(({ name, version }) => `${name}=${version}`);
  const plan = await apt.plan(names).catch((error: unknown) => {
    throw lockError(error);
  });
  checkLockedFiles(plan.files, wanted);
  return plan;
}

/** What would be installed for each of the requests, in its locked form. */
async function lock(
  family: DebianFamily,
  options: InstallOptions,
  requests: readonly LockRequest[],
): Promise<LockedPackage[][]> {
  const { apt } = await prepare(family, { ...options, packages: [], locked: undefined });
  const plan = async (packages: readonly string[]): Promise<LockedPackage[]> => {
    checkPackageNames(packages);
    return lockFiles((await apt.plan(packages)).files);
  };
  const locked: LockedPackage[][] = [];
  for (const { packages, onto } of requests) {
    if (onto === undefined) {
      locked.push(await plan(packages));
      continue;
    }
    const base = await plan(onto);
    // Each of them by its version: the others may not choose anew what is there by then.
    const all = await plan([...base.map(({ name, version }) => `${name}=${version}`), ...packages]);
    locked.push(notInstalled(all, base));
  }
  await rm(join(options.workspace, "apt"), { recursive: true, force: true });
  return locked;
}

async function fingerprint(
  family: DebianFamily,
  options: InstallOptions,
  lists: readonly (readonly string[])[],
): Promise<string[]> {
  const { apt, common, packageCache } = await prepare(family, { ...options, packages: [], locked: undefined });
  // The image's own list of archives is written from these.
  const archives = common.repositories.map(({ suite, components }) => `${suite} ${components.join(",")}`);
  const digests: string[] = [];
  for (const packages of lists) {
    checkPackageNames(packages);
    const files = await plannedFiles(apt, packages, packageCache);
    digests.push(
      createHash("sha256")
        .update([...files, ...archives].join("\n"))
        .digest("hex"),
    );
  }
  for (const name of ["apt", "own-packages"]) await rm(join(options.workspace, name), { recursive: true, force: true });
  return digests;
}

/**
 * The files of a plan, sorted, each with its digest. Of the same lists the same packages are chosen: what was
 * chosen is kept beside them, which saves half a second of a build that has nothing to do.
 */
async function plannedFiles(
  apt: AptRoot,
  packages: readonly string[],
  packageCache: string | undefined,
): Promise<string[]> {
  const plan = async (): Promise<string[]> =>
    (await apt.plan(packages)).files.map(({ file, sha256 = "" }) => `${file} ${sha256}`).sort();
  if (packageCache === undefined) return await plan();
  const key = createHash("sha256")
    .update(JSON.stringify([await apt.inputs(), packages]))
    .digest("hex");
  const kept = join(packageCache, "plans", `${key}.json`);
  try {
    return JSON.parse(await readFile(kept, "utf8")) as string[];
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT" && !(error instanceof SyntaxError)) throw error;
  }
  const files = await plan();
  await mkdir(dirname(kept), { recursive: true });
  await makeAtomically(kept, async (temporary) => await writeFile(temporary, JSON.stringify(files)));
  await removeOldPlans(dirname(kept));
  return files;
}

/** Every change of the archive leaves some. */
async function removeOldPlans(folder: string): Promise<void> {
  const most = 64;
  const names = await readdir(folder);
  if (names.length <= most) return;
  const dated = await Promise.all(
    names.map(async (name) => ({ name, time: (await stat(join(folder, name)).catch(() => undefined))?.mtimeMs ?? 0 })),
  );
  for (const { name } of dated.sort((a, b) => b.time - a.time).slice(most))
    await rm(join(folder, name), { force: true });
}

async function install(family: DebianFamily, options: InstallOptions): Promise<InstallResult> {
  const { tree, workspace, release, signal } = options;
  const progress = options.progress ?? silentProgress;
  const { architecture, common, chosen, isBased, apt } = await prepare(family, options);
  const { locked, packages } = options;
  const before = locked === undefined ? [] : await listDpkgPackages(tree);
  const plan = locked === undefined ? await apt.plan(packages) : await planLocked(apt, packages, locked, before);
  const { repositories, withRecommends } = common;
  const downloaded = await apt.download(plan);

  const withDocs = options.withDocs ?? true;
  if (isBased)
    await installOnto({ family, release, tree, architecture, apt, plan, withRecommends, withDocs, progress, signal });
  else
    await runMmdebstrap({
      ...common,
      tree,
      apt,
      workspace,
      packages: plan.packages,
      count: plan.files.length,
      withDocs,
      sourceDateEpoch: options.sourceDateEpoch,
      progress,
      signal,
    });
  await cleanDpkgVolatile(tree);
  for (const name of ["apt", "own-packages"]) await rm(join(workspace, name), { recursive: true, force: true });
  if (locked !== undefined) checkLockedTree(await listDpkgPackages(tree), locked, before);
  // The image gets the distribution's own servers: which mirror built it must not show in its bytes.
  const published = repositoriesFor(family, chosen);
  await writeSources(tree, `${release}.sources`, published);
  return {
    packages: (await listDpkgPackages(tree)).map((entry) => withChecksum(entry, plan.files)),
    repositories: repositories.filter(({ trusted }) => trusted !== true),
    downloaded: { files: downloaded.length, bytes: downloaded.reduce((total, file) => total + file.size, 0) },
  };
}

/** apt names files by package, version and architecture, with colons encoded. */
function withChecksum(entry: InstalledPackage, files: readonly PackageFile[]): InstalledPackage {
  const name = `${entry.name}_${entry.version.replaceAll(":", "%3a")}_${entry.architecture}.deb`;
  const sha256 = files.find(({ file }) => file === name)?.sha256;
  return sha256 === undefined ? entry : { ...entry, sha256 };
}

async function remove(family: DebianFamily, options: RemoveOptions): Promise<void> {
  if (options.packages.length === 0) return;
  checkPackageNames(options.packages);
  const { tree, signal } = options;
  using task = (options.progress ?? silentProgress).start({ label: "remove packages", total: options.packages.length });
  const lines: string[] = [];
  const onLine = (line: string): void => {
    lines.push(line);
    const name = /^(?:Removing|Purging configuration files for) (\S+)/.exec(line)?.[1];
    if (name !== undefined) task.detail(name);
  };
  const architecture = debianArchitecture(options.architecture);
  const folder = await mkdtemp(join(tmpdir(), "imgtool-apt-"));
  try {
    const configuration = join(folder, "apt.conf");
    await writeFile(configuration, treeConfiguration(tree, architecture));
    const args = ["--yes", "--auto-remove", "--allow-remove-essential", "purge", "--", ...options.packages];
    const env = { DEBIAN_FRONTEND: "noninteractive", APT_CONFIG: configuration, SYSTEMD_OFFLINE: "1" };
    await runIsolated("apt-get", args, { tree, env, signal, onStdoutLine: onLine, onStderrLine: onLine });
  } catch (cause) {
    throw aptError({ doing: "remove packages", family, release: "", output: lines.join("\n"), cause });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  await cleanDpkgVolatile(tree);
  task.done(`${options.packages.length} packages`);
}

/** Keyrings of the project's own stand for this machine's of the same path. */
async function withOwnKeys(
  repositories: readonly Repository[],
  sandboxTree: string | undefined,
): Promise<Repository[]> {
  return await Promise.all(
    repositories.map(async (entry) => {
      if (sandboxTree === undefined || entry.signedBy === undefined) return entry;
      const own = join(sandboxTree, entry.signedBy);
      return (await pathExists(own)) ? { ...entry, signedBy: own } : entry;
    }),
  );
}

async function requireKeyrings(family: DebianFamily, repositories: readonly Repository[]): Promise<void> {
  for (const { signedBy } of repositories) {
    if (signedBy === undefined) continue;
    try {
      await access(signedBy);
    } catch (error) {
      throw new EnvironmentError(`the keyring ${signedBy} is missing: ${family.name}'s packages cannot be verified`, {
        code: "keyring-missing",
        hint: `apt-get install ${family.keyringPackage}, or put it into mkosi.sandbox${signedBy}`,
        data: { keyring: signedBy, package: family.keyringPackage, distribution: family.name },
        cause: error,
      });
    }
  }
}

async function writeSources(tree: string, name: string, repositories: readonly Repository[]): Promise<void> {
  const listDpkg = await listDpkgPackages(tree);
  if (!listDpkg.some((entry) => entry.name === "apt")) return;
  const folder = await resolveInTree(tree, "etc/apt/sources.list.d", { followLast: true });
  await mkdir(folder, { recursive: true });
  try {
    await writeFile(join(folder, name), formatDeb822Sources(repositories), { flag: "wx", mode: 0o644 });
  } catch (error) {
    // The skeleton brought one of its own.
    if (systemErrorCode(error) !== "EEXIST") throw error;
  }
}
