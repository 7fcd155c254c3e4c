/**
 * A cache of packages under another name. dnf and zypper keep files of their own at the cache's path below
 * the tree: there they would be hidden when the cache is in /tmp or /run, which the tree gets anew while
 * scripts run, and later they could not be told from what packages brought.
 * @module
 */
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { join } from "node:path";

export interface LinkedCache {
  readonly path: string;
  /** Removes the link, and what stands at its path below the tree. */
  remove(tree: string): Promise<void>;
}

/** Makes the folder `cache`, where it is missing, and a link to it. */
export async function linkCache(cache: string): Promise<LinkedCache> {
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp("/var/tmp/imgtool-packages-");
  const path = join(folder, "cache");
  await symlink(cache, path);
  return {
    path,
    async remove(tree) {
      for (const place of [folder, join(tree, folder)]) await rm(place, { recursive: true, force: true });
    },
  };
}
