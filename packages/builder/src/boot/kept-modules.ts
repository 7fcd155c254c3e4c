/**
 * Keeps the initrd with a kernel's modules from build to build (Incremental=): by the content of everything in it,
 * so that it is never that of another tree.
 * @module
 */
import { createHash } from "node:crypto";
import { readlinkSync } from "node:fs";
import { copyFile, mkdir, readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { makeAtomically } from "@imgtool/host";
import type { BuildContext } from "../context.ts";
import { digestContent } from "../incremental/digests.ts";
import { cacheFolder } from "../incremental/tree-cache.ts";
import type { PackCpioOptions } from "../steps/pack-cpio.ts";
import { walkTree } from "../tree-walk.ts";

/** What packs it into other bytes counts up. */
const form = 1;

/**
 * Where the archive of these entries is kept, whether it is there or not; undefined when none is kept.
 * @param entries as packCpio() gets them
 */
export async function keptModules(
  { config, signal }: BuildContext,
  version: string,
  { tree, select, latest = Infinity }: Pick<PackCpioOptions, "tree" | "select" | "latest">,
): Promise<string | undefined> {
  if (config.incremental === "no") return undefined;
  const hash = createHash("sha256").update(`${form} ${config.compressLevel}\n`);
  const isSelected = (inner: Buffer): boolean => select?.(inner.toString()) !== false;
  const linked = new Map<string, string>();
  for await (const { path, inner, stat } of walkTree(tree, { enter: isSelected, signal })) {
    if (inner.length === 0 || !isSelected(inner)) continue;
    const name = inner.toString("hex");
    const time = Math.min(Number(stat.mtimeNs / 1_000_000_000n), latest);
    hash.update(`${name} ${stat.mode} ${stat.uid}:${stat.gid} ${stat.rdev} ${time}`);
    if (stat.isSymbolicLink()) hash.update(` -> ${readlinkSync(path, { encoding: "buffer" }).toString("hex")}`);
    if (stat.isFile()) {
      const inode = `${stat.dev}:${stat.ino}`;
      const first = linked.get(inode);
      if (stat.nlink > 1n) linked.set(inode, first ?? name);
      hash.update(` ${stat.size} ${stat.nlink} ${first ?? ""}\n`);
      if (first === undefined) digestContent(path, hash);
    }
    hash.update("\n");
  }
  return join(cacheFolder(config), `modules-${version}-${hash.digest("hex")}`);
}

/** Keeps the archive at this place; of every kernel of the image the last one is. */
export async function keepModules({ boot }: BuildContext, made: string, kept: string): Promise<void> {
  const folder = dirname(kept);
  await mkdir(folder, { recursive: true });
  const digest = "-".length + 64;
  const versionOf = (name: string): string => name.slice("modules-".length, -digest);
  const versions = new Set(boot?.kernels.map((kernel) => kernel.version));
  versions.delete(versionOf(kept.slice(folder.length + 1)));
  for (const name of await readdir(folder))
    if (name.startsWith("modules-") && !versions.has(versionOf(name))) await rm(join(folder, name), { force: true });
  await makeAtomically(kept, async (temporary) => await copyFile(made, temporary));
}
