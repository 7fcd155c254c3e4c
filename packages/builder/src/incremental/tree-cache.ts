/**
 * Keeps trees with their packages from build to build (Incremental=). A cached tree is used only when
 * every input is the one that it was made of; it is replaced by rename, and copied with reflinks where
 * the file system has them.
 * @module
 */
import { chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ImageConfig } from "@imgtool/config";
import { FormatError, NotFoundError, systemErrorCode, type Progress } from "@imgtool/core";
import type { InstalledPackage, Repository } from "@imgtool/distro";
import { AT_FDCWD, setMtime } from "@imgtool/host";
import { imageKey } from "../image-key.ts";
import { copyTreeRoot, makeTreeRoot, replaceTreeRoot } from "../subvolumes.ts";
import { readTreeFile, writeTreeFile } from "../tree-file.ts";
import { walkTree } from "../tree-walk.ts";
import { hardLinks, restoreHardLinks, type LinkGroup } from "./hard-links.ts";
import { fetchKept, keepShared } from "./tree-store.ts";
import { archivePackages, changedInputs, inputsKey, type Inputs } from "./inputs.ts";

/** What is known of a cached tree besides its files. */
export interface CachedTree {
  readonly inputs: Inputs;
  /** Milliseconds since 1970 before the first of its files was made. */
  readonly begun: number;
  readonly packages: readonly InstalledPackage[];
  readonly repositories: readonly Repository[];
  /** Packages that prepare scripts have asked for: another version of theirs would make another tree. */
  readonly scriptPackages?: readonly string[];
}

export interface TreeCacheOptions {
  readonly config: ImageConfig;
  readonly progress: Progress;
  readonly signal: AbortSignal | undefined;
}

/** Where the cached things of an image are. */
export function cacheFolder(config: ImageConfig): string {
  const { cacheDirectory, directory, distribution, release, architecture } = config;
  return join(
    cacheDirectory ?? join(directory, "mkosi.cache"),
    "incremental",
    // Another version of the same image has mostly the same packages.
    `${imageKey(config)}~${distribution}~${release}~${architecture}`,
  );
}

/**
 * Copies the cached tree into `tree`, which is empty, when its inputs are `inputs`. Otherwise says which
 * of them are not, and returns undefined.
 * @throws NotFoundError `cache-stale` with Incremental=strict
 */
export async function restoreTree(
  inputs: Inputs,
  tree: string,
  options: TreeCacheOptions,
): Promise<CachedTree | undefined> {
  const { config, progress, signal } = options;
  const folder = cacheFolder(config);
  const cached = await readCached(folder);
  const changed = cached === undefined ? undefined : changedInputs(cached.inputs, inputs);
  if (cached !== undefined && changed?.length === 0) {
    using task = progress.start({ label: "take the cached tree" });
    await replaceTreeRoot(join(folder, "tree"), tree, config.useSubvolumes, signal);
    await makeRecent(tree, cached.begun, signal);
    task.done(`${cached.packages.length} packages`);
    return cached;
  }
  const shared = await fetchShared(inputs, tree, options);
  if (shared !== undefined) return shared;
  const why = changed === undefined ? "there is none yet" : `changed: ${changed.join(", ")}`;
  if (config.incremental === "strict") {
    throw new NotFoundError(`Incremental=strict, and the cached tree is not the one that is needed: ${why}`, {
      code: "cache-stale",
      hint: "build it with Incremental=yes first",
      data: { changed },
    });
  }
  progress.log("info", `no cached tree: ${why}`);
  return undefined;
}

/** What goes along with a tree to other machines. */
interface SharedTree extends CachedTree {
  readonly links: readonly LinkGroup[];
}

/** What came along with a fetched tree, whose hard links are made again; undefined, and said, for anything else. */
function sharedTree(details: unknown, tree: string, { progress }: TreeCacheOptions): CachedTree | undefined {
  try {
    if (!isSharedTree(details)) throw new FormatError("it says nothing of the tree", { code: "kept-invalid" });
    const { links, ...cached } = details;
    restoreHardLinks(tree, links);
    return cached;
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    progress.log("warning", `the cache store's tree is not taken: ${error.message}`);
    return undefined;
  }
}

function isSharedTree(details: unknown): details is SharedTree {
  if (typeof details !== "object" || details === null) return false;
  const { inputs, begun, packages, repositories, links } = details as Partial<SharedTree>;
  const areLists = [packages, repositories, links].every((list) => Array.isArray(list));
  return areLists && typeof begun === "number" && typeof inputs === "object";
}

/** Takes the tree from the store that machines share, and keeps it here, too. */
async function fetchShared(inputs: Inputs, tree: string, options: TreeCacheOptions): Promise<CachedTree | undefined> {
  const { config, progress, signal } = options;
  const { cacheStore: location } = config;
  if (location === undefined) return undefined;
  const key = inputsKey(inputs);
  const found = await fetchKept("tree", tree, { location, key, progress, signal });
  const cached = found === undefined ? undefined : sharedTree(found.details, tree, options);
  if (cached === undefined) {
    // An attempt that failed may have left some.
    await rm(tree, { recursive: true, force: true });
    await makeTreeRoot(tree, config.useSubvolumes);
    return undefined;
  }
  progress.log("info", "the tree is the cache store's");
  await saveTree(cached, tree, { ...options, config: { ...config, cacheStore: undefined } });
  await makeRecent(tree, cached.begun, signal);
  return cached;
}

/**
 * Whether there is a cached tree of the settings and files of now; the archive is not asked.
 * @param inputs what the tree would be made of, with the digest of the packages that the cached one has
 */
export async function hasCachedTree(
  config: ImageConfig,
  inputs: (packages: string) => Promise<Inputs>,
): Promise<boolean> {
  const cached = await readCached(cacheFolder(config));
  if (cached === undefined) return false;
  return changedInputs(cached.inputs, await inputs(cached.inputs[archivePackages] ?? "")).length === 0;
}

/** What the prepare scripts of the cached tree have asked for; none where there is none. */
export async function cachedScriptPackages(config: ImageConfig): Promise<readonly string[]> {
  return (await readCached(cacheFolder(config)))?.scriptPackages ?? [];
}

/** Keeps a copy of the tree in the place of what was kept before. */
export async function saveTree(cached: CachedTree, tree: string, options: TreeCacheOptions): Promise<void> {
  const { config, progress, signal } = options;
  const folder = cacheFolder(config);
  using task = progress.start({ label: "keep the tree" });
  await mkdir(join(folder, ".."), { recursive: true });
  const fresh = await mkdtemp(`${folder}.new-`);
  try {
    await copyTreeRoot(tree, join(fresh, "tree"), config.useSubvolumes, signal);
    await writeFile(join(fresh, "tree.json"), JSON.stringify(cached));
    // What else is kept of the image stays.
    await mkdir(folder, { recursive: true });
    // An image's set-user-id programs are nothing for this machine's other users.
    await chmod(folder, 0o700);
    await rm(join(folder, "tree.json"), { force: true });
    await rm(join(folder, "tree"), { recursive: true, force: true });
    await rename(join(fresh, "tree"), join(folder, "tree"));
    await rename(join(fresh, "tree.json"), join(folder, "tree.json"));
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
  task.done();
  // What scripts ask for is known only afterwards: no other machine could name such a tree.
  const { cacheStore: location } = config;
  if (location !== undefined && (cached.scriptPackages ?? []).length === 0)
    await keepShared(
      "tree",
      tree,
      { ...cached, links: await hardLinks(tree, signal) },
      { location, key: inputsKey(cached.inputs), progress, signal },
    );
}

/**
 * What the installation itself made has the time of that day; a tree that were made now would have the
 * present, which the build then moves to its own time. So it is with the days in /etc/shadow.
 */
async function makeRecent(tree: string, begun: number, signal: AbortSignal | undefined): Promise<void> {
  const now = BigInt(Date.now()) * 1_000_000n;
  const from = BigInt(begun) * 1_000_000n;
  for await (const { path, stat } of walkTree(tree, { order: "content-first", signal }))
    if (stat.mtimeNs >= from) setMtime(AT_FDCWD, path, now);
  const shadow = await readTreeFile(tree, "etc/shadow");
  if (shadow === undefined) return;
  const millisecondsOfADay = 86_400_000;
  const [first, today] = [Math.floor(begun / millisecondsOfADay), Math.floor(Date.now() / millisecondsOfADay)];
  const fresh = shadow.replaceAll(/^([^:\n]*:[^:\n]*:)(\d+)(?=:)/gm, (line, head: string, day: string) =>
    Number(day) >= first ? `${head}${today}` : line,
  );
  if (fresh !== shadow) await writeTreeFile(tree, "etc/shadow", fresh);
}

async function readCached(folder: string): Promise<CachedTree | undefined> {
  try {
    return JSON.parse(await readFile(join(folder, "tree.json"), "utf8")) as CachedTree;
  } catch (error) {
    // A file that is no JSON is a cache that cannot be used, and is made anew.
    if (systemErrorCode(error) === "ENOENT" || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
