/**
 * BaseTrees=, which the tree begins with, and Overlay=, which in the end leaves what was added to them.
 * mkosi takes what an overlayfs collected; here the trees are compared, which needs no mount and finds a
 * file that was written again with what it had before.
 * @module
 */
import { lstatSync, readFileSync, readlinkSync, rmdirSync, rmSync, type BigIntStats } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "@imgtool/core";
import { getXattr, listXattrs } from "@imgtool/host";
import type { BuildContext } from "../context.ts";
import { copyTree } from "../copy-tree.ts";
import { walkTree } from "../tree-walk.ts";

/** Copies the base trees, with their owners; returns how many files there were. */
export async function copyBaseTrees(
  context: Pick<BuildContext, "config" | "progress" | "signal">,
  target: string,
): Promise<number> {
  let count = 0;
  for (const source of context.config.baseTrees)
    count += await copyTree({ source, target: "/" }, target, { ...context, owners: "kept" });
  return count;
}

/**
 * Removes from the tree what the base trees have in the same form.
 * @throws ConfigError `overlay-without-base`
 */
export async function keepAdditions(context: BuildContext): Promise<void> {
  const { config, tree, workspace, progress, signal } = context;
  if (!config.overlay) return;
  if (config.baseTrees.length === 0) {
    throw new ConfigError("Overlay=yes keeps what is not in the base trees, and there are none", {
      code: "overlay-without-base",
      hint: "name them with BaseTrees=",
    });
  }
  using task = progress.start({ label: "keep what was added" });
  const base = join(workspace, "base");
  await mkdir(base, { mode: 0o755 });
  await copyBaseTrees(context, base);
  let removed = 0;
  for await (const { path, inner, stat } of walkTree(tree, { order: "content-first", signal })) {
    if (inner.length === 0) continue;
    const former = Buffer.concat([Buffer.from(`${base}/`), inner]);
    const old = lstatSync(former, { bigint: true, throwIfNoEntry: false });
    if (old === undefined || !isAlike(path, stat, former, old)) continue;
    if (stat.isDirectory()) {
      // With something new in it it stays, to hold that.
      try {
        rmdirSync(path);
      } catch {
        continue;
      }
    } else {
      rmSync(path);
    }
    removed++;
  }
  task.done(`${removed} files and folders left to the base`);
}

/** Whether two nodes would be the same in an image, whenever they were written. */
function isAlike(path: Buffer, stat: BigIntStats, former: Buffer, old: BigIntStats): boolean {
  if (stat.mode !== old.mode || stat.uid !== old.uid || stat.gid !== old.gid || stat.rdev !== old.rdev) return false;
  if (attributes(path) !== attributes(former)) return false;
  if (stat.isSymbolicLink()) return readlinkSync(path) === readlinkSync(former);
  if (!stat.isFile()) return true;
  if (stat.size !== old.size) return false;
  return stat.mtimeNs === old.mtimeNs || readFileSync(path).equals(readFileSync(former));
}

function attributes(path: Buffer): string {
  return listXattrs(path)
    .map((name) => `${name.toString("hex")}=${getXattr(path, name)?.toString("hex") ?? ""}`)
    .sort()
    .join(" ");
}
