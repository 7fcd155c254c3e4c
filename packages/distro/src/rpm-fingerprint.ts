/**
 * What the repositories of RPM packages have: the digests of their repomd.xml, which has those of all lists.
 * @module
 */
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { silentProgress, systemErrorCode } from "@imgtool/core";
import { pathExists, requireTool } from "@imgtool/host";
import type { InstallOptions } from "./distribution.ts";
import { namedArchitecture } from "./named-architecture.ts";
import { digestAvailable } from "./repository-digest.ts";
import { writeRpmWorkspace } from "./rpm-configuration.ts";
import type { RpmFamily } from "./rpm-family.ts";
import { rpmCacheFolder, type RpmManager } from "./rpm-manager.ts";
import { readRepositorySections } from "./rpm-repository-files.ts";

/**
 * Distribution.fingerprint() of a distribution of RPM packages.
 * @returns none where the lists of a repository are not found: then it cannot be told
 * @throws as Distribution.install()
 */
export async function rpmFingerprint(
  manager: RpmManager,
  family: RpmFamily,
  options: InstallOptions,
  requests: readonly (readonly string[])[],
): Promise<string[]> {
  const { release, cacheOnly = "nothing", packageDirectories } = options;
  for (const tool of [manager.program, "rpm", "bwrap"]) await requireTool(tool);
  const folder = join(options.workspace, `${manager.program}-lists`);
  // The project's own packages are digested themselves: a list of them has the time when it was made.
  const workspace = await writeRpmWorkspace(family, { ...options, packageDirectories: [] }, folder);
  const cache = rpmCacheFolder(manager, family, options);
  const sections = await readRepositorySections(workspace.repositoryFolder);
  const ids = sections.filter(({ enabled }) => enabled).map(({ id }) => id);
  let lists = cacheOnly === "nothing" ? undefined : await findLists(manager, cache, ids);
  if (lists === undefined) {
    using task = (options.progress ?? silentProgress).start({ label: "read package lists" });
    const tree = join(folder, "tree");
    await mkdir(tree);
    const { run, tidy } = await manager.prepare({
      ...workspace,
      tree,
      folder,
      cache,
      variables: family.variables?.(release) ?? {},
      distribution: family.title,
      release,
      architecture: namedArchitecture(family, options.architecture),
      keyCheck: options.repositoryKeyCheck,
      cacheOnly,
      signal: options.signal,
    });
    try {
      await run({ args: manager.readLists, doing: "read package lists", mounted: false, offline: false });
    } finally {
      await tidy();
    }
    lists = await findLists(manager, cache, ids);
    task.done();
  }
  await rm(folder, { recursive: true, force: true });
  return lists === undefined ? [] : await digestAvailable({ type: "rpm", lists, packageDirectories }, requests);
}

/** Every repomd.xml of the repositories, since the cache may have one of each of their mirrors; undefined where one has none. */
async function findLists(
  manager: RpmManager,
  cache: string,
  ids: readonly string[],
): Promise<(readonly [name: string, path: string])[] | undefined> {
  const folder = join(cache, manager.lists.folder);
  const found: (readonly [string, string])[] = [];
  const names = await folderNames(folder);
  for (const id of ids) {
    const before = found.length;
    // Where a name has variables, what stands before them.
    const isOf = (name: string): boolean =>
      id.includes("$") ? name.startsWith(id.slice(0, id.indexOf("$"))) : manager.lists.isOf(id, name);
    for (const name of names.filter(isOf)) {
      const path = join(folder, name, "repodata/repomd.xml");
      if (await pathExists(path)) found.push([name, path]);
    }
    if (found.length === before) return undefined;
  }
  return found;
}

async function folderNames(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
      .sort();
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return [];
    throw error;
  }
}
