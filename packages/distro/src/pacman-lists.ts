/**
 * The lists of what pacman's repositories have: kept from build to build, and what they say can be installed.
 * @module
 */
import { copyFile, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { silentProgress } from "@imgtool/core";
import { requireTool } from "@imgtool/host";
import type { PacmanFamily } from "./arch.ts";
import { cacheIncomplete } from "./cache-only.ts";
import type { InstallOptions } from "./distribution.ts";
import { localRepositoryName } from "./local-packages.ts";
import { namedArchitecture } from "./named-architecture.ts";
import { fetchFiles, keepFiles, plainFiles } from "./package-cache.ts";
import { listFolder } from "./pacman-database.ts";
import { preparePacmanKeys } from "./pacman-keys.ts";
import { choosePacmanRepositories, pacmanCacheFolder, preparePacman } from "./pacman-run.ts";
import { digestAvailable } from "./repository-digest.ts";

/** What the lists of the repositories have; nothing is resolved. */
export async function pacmanFingerprint(
  family: PacmanFamily,
  options: InstallOptions,
  requests: readonly (readonly string[])[],
): Promise<string[]> {
  for (const tool of ["pacman", "bwrap"]) await requireTool(tool);
  const { packageDirectories, signal, cacheOnly } = options;
  const folder = join(options.workspace, "pacman-lists");
  const [tree, cache] = [join(folder, "tree"), pacmanCacheFolder(family, options)];
  await mkdir(join(tree, listFolder), { recursive: true });
  const repositories = choosePacmanRepositories(family, options);
  if (await readPacmanLists({ tree, cache, own: undefined, options })) {
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
    await keepPacmanLists(tree, cache);
    task.done();
  }
  const lists = repositories.map(({ name }) => [name, join(tree, listFolder, `${name}.db`)] as const);
  const digests = await digestAvailable({ type: "pkg", lists, packageDirectories }, requests);
  await rm(folder, { recursive: true, force: true });
  return digests;
}

/**
 * Gives the tree the cached lists where they may not be read anew; returns whether they may.
 * @throws NotFoundError `cache-incomplete`
 */
export async function readPacmanLists({
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

export async function keepPacmanLists(tree: string, cache: string): Promise<void> {
  const folder = join(tree, listFolder);
  await keepFiles(folder, join(cache, "sync"), await plainFiles(folder));
}
