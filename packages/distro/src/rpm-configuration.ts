/**
 * The files that dnf, zypper and rpm are run with: a home of their own in the build's workspace, so that
 * nothing of this machine's configuration is read or written.
 * @module
 */
import { cp, mkdir, readdir, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { ConfigError, EnvironmentError, systemErrorCode } from "@imgtool/core";
import { pathExists, runTool } from "@imgtool/host";
import type { InstallOptions, Repository } from "./distribution.ts";
import { localRepositoryName, makeRpmRepository } from "./local-packages.ts";
import { mirrorUri } from "./mirror-uri.ts";
import { findRpmDatabase } from "./rpm-database.ts";
import type { RpmFamily, RpmRepository } from "./rpm-family.ts";

export interface RpmWorkspace {
  /** HOME of the programs, with `.rpmmacros`. */
  readonly home: string;
  /** Folder of `.repo` files. */
  readonly repositoryFolder: string;
  readonly repositories: readonly RpmRepository[];
  /** Where rpm keeps its database, from the tree's root. */
  readonly databaseFolder: string;
  /** Whether one of them is of the project's own packages. */
  readonly hasOwn: boolean;
}

/**
 * Writes rpm's macros and the list of repositories.
 * @throws EnvironmentError `keyring-missing`, ConfigError `mirror-invalid`, `repository-unknown`
 */
export async function writeRpmWorkspace(
  family: RpmFamily,
  options: InstallOptions,
  folder: string,
): Promise<RpmWorkspace> {
  const home = join(folder, "home");
  const repositoryFolder = join(folder, "repositories");
  await mkdir(repositoryFolder, { recursive: true });
  const databaseFolder = family.databaseFolder(options.release);
  await writeMacros(home, databaseFolder);
  const own = await copyOwnRepositories(options.sandboxTree, repositoryFolder);
  const repositories = own ? [] : await chooseRepositories(family, options);
  if (!own) {
    const texts = repositories.map((entry) => formatRpmRepository(entry, options.repositoryKeyCheck ?? true));
    await writeFile(join(repositoryFolder, "imgtool.repo"), texts.join("\n"));
  }
  const local = await makeRpmRepository(options.packageDirectories ?? [], join(folder, "own"), options.signal);
  if (local !== undefined) await writeFile(join(repositoryFolder, `${localRepositoryName}.repo`), local);
  return { home, repositoryFolder, repositories, databaseFolder, hasOwn: local !== undefined };
}

/** A home for programs that change a tree which has packages already; returns its path. */
export async function writeRpmMacros(folder: string, tree: string): Promise<string> {
  const home = join(folder, "home");
  const database = await findRpmDatabase(tree);
  await writeMacros(home, database === undefined ? "/usr/lib/sysimage/rpm" : `/${relative(tree, dirname(database))}`);
  return home;
}

/** Debian's rpm keeps its database in the user's home; the plug-ins of the host's rpm are about the host. */
async function writeMacros(home: string, databaseFolder: string): Promise<void> {
  await mkdir(home, { recursive: true });
  const lines = [`%_dbpath ${databaseFolder}`, "%_db_backend sqlite"];
  const folder = (await runTool("rpm", ["--eval", "%{__plugindir}"])).stdout.trim();
  for (const name of await names(folder)) {
    if (name.endsWith(".so")) lines.push(`%__transaction_${name.slice(0, -3)} %{nil}`);
  }
  await writeFile(join(home, ".rpmmacros"), `${lines.join("\n")}\n`);
}

/** A project that brings lists of repositories means these, and no others. */
async function copyOwnRepositories(sandboxTree: string | undefined, to: string): Promise<boolean> {
  if (sandboxTree === undefined) return false;
  let found = false;
  for (const folder of ["etc/yum.repos.d", "etc/zypp/repos.d"]) {
    for (const name of await names(join(sandboxTree, folder))) {
      if (!name.endsWith(".repo")) continue;
      await cp(join(sandboxTree, folder, name), join(to, name));
      found = true;
    }
  }
  return found;
}

async function chooseRepositories(family: RpmFamily, options: InstallOptions): Promise<RpmRepository[]> {
  const { release, architecture, snapshot, sandboxTree } = options;
  const keys = await findKeys(sandboxTree);
  const missing: string[] = [];
  const key = (name: string, url: string): string => {
    const path = keys.get(name);
    if (path !== undefined) return `file://${path}`;
    missing.push(name);
    return url;
  };
  const mirror = mirrorUri("Mirror", options.mirror);
  const all = family.repositories({ release, architecture, mirror, snapshot, key });
  const keyCheck = options.repositoryKeyCheck ?? true;
  const local = mirrorUri("LocalMirror", options.localMirror);
  const chosen: readonly RpmRepository[] =
    local === undefined ? enable(family, all, options.repositories ?? []) : localOnly(local, all);
  if (keyCheck && missing.length > 0 && options.repositoryKeyFetch !== true) {
    throw new EnvironmentError(
      `${family.title}'s key ${missing[0] ?? ""} is missing: its packages cannot be verified`,
      {
        code: "keyring-missing",
        hint: "put it into mkosi.sandbox/etc/pki/rpm-gpg/, install distribution-gpg-keys, or have it fetched with RepositoryKeyFetch=yes",
        data: { keys: [...new Set(missing)], distribution: family.name },
      },
    );
  }
  return [...chosen];
}

function localOnly(url: string, all: readonly RpmRepository[]): RpmRepository[] {
  return [
    { id: "local-mirror", kind: "baseurl", url, keys: [...new Set(all.flatMap((entry) => entry.keys))], enabled: true },
  ];
}

function enable(family: RpmFamily, all: readonly RpmRepository[], wanted: readonly string[]): RpmRepository[] {
  for (const id of wanted) {
    if (all.some((entry) => entry.id === id)) continue;
    throw new ConfigError(`${family.title} has no repository "${id}"`, {
      code: "repository-unknown",
      hint: `Repositories= is any of ${all.map((entry) => entry.id).join(", ")}; lists of your own go into mkosi.sandbox/etc/yum.repos.d/`,
      data: { repository: id, known: all.map((entry) => entry.id) },
    });
  }
  return all.map((entry) => ({ ...entry, enabled: entry.enabled || wanted.includes(entry.id) }));
}

/** One section of a .repo file, which dnf and zypper both read. */
export function formatRpmRepository(repository: RpmRepository, keyCheck: boolean): string {
  const { id, kind, url, keys, enabled } = repository;
  const lines = [
    `[${id}]`,
    `name=${id}`,
    `${kind}=${url}`,
    `enabled=${enabled ? 1 : 0}`,
    `gpgcheck=${keyCheck ? 1 : 0}`,
    "autorefresh=1",
    "keeppackages=1",
  ];
  if (keyCheck) lines.push(`gpgkey=${keys.join("\n       ")}`);
  return `${lines.join("\n")}\n`;
}

/** What the build record says of them: the addresses with their variables filled in. */
export function recordedRepositories(
  repositories: readonly RpmRepository[],
  variables: Readonly<Record<string, string>>,
): Repository[] {
  return repositories
    .filter(({ enabled }) => enabled)
    .map(({ id, url }) => ({
      uri: url.replaceAll(/\$(\w+)/g, (text, name: string) => variables[name] ?? text),
      suite: id,
      components: [],
    }));
}

/** Names of key files, and where they are: the project's before this machine's. */
async function findKeys(sandboxTree: string | undefined): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const root of [...(sandboxTree === undefined ? [] : [sandboxTree]), "/"]) {
    for (const folder of ["etc/pki/rpm-gpg", "usr/share/distribution-gpg-keys"]) {
      const path = join(root, folder);
      if (!(await pathExists(path))) continue;
      for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
        if (entry.isDirectory() || found.has(entry.name)) continue;
        found.set(entry.name, join(entry.parentPath, entry.name));
      }
    }
  }
  return found;
}

async function names(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return [];
    throw error;
  }
}
