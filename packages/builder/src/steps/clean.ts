/**
 * Takes out of a tree what differs from build to build, what must be made anew on each machine, and
 * what only the build needed.
 * @module
 */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { systemErrorCode, type Progress } from "@imgtool/core";
import { pathExists } from "@imgtool/host";
import { resolveInTree } from "@imgtool/sandbox";
import { readTreeFile, removeTreePath, writeTreeFile } from "../tree-file.ts";
import { walkTree } from "../tree-walk.ts";

const files: readonly string[] = [
  // Backups and locks that useradd and friends leave.
  ...["passwd", "group", "shadow", "gshadow", "subuid", "subgid"].map((name) => `etc/${name}-`),
  "etc/.pwd.lock",
  // Holds inode numbers and change times of the build machine.
  "var/cache/ldconfig/aux-cache",
  // Secrets and states that a machine makes for itself.
  "var/lib/systemd/random-seed",
  "var/lib/systemd/credential.secret",
  "var/lib/urandom/random-seed",
  "var/lib/dbus/machine-id",
  // Tell systemd that /etc and /var are up to date with /usr, by their time.
  "etc/.updated",
  "var/.updated",
  "root/.bash_history",
  "root/.cache",
];

// mandb stores when and where it found each page.
const folders: readonly string[] = ["tmp", "run", "dev", "var/tmp", "var/cache/man"];

/** What a machine with no identity yet holds in /etc/machine-id: its first boot makes one (machine-id(5)). */
const unsetMachineId = "uninitialized\n";

/** Cleans a tree. `sourceDateEpoch` in seconds. */
export async function cleanTree(tree: string, sourceDateEpoch: number, progress: Progress): Promise<void> {
  for (const path of files) await removeTreePath(tree, path);
  for (const path of folders) await emptyFolder(await resolveInTree(tree, path, { followLast: true }));
  await emptyLogs(tree);
  if (await treeHas(tree, "etc/machine-id")) {
    await removeTreePath(tree, "etc/machine-id");
    await writeTreeFile(tree, "etc/machine-id", unsetMachineId, 0o444);
  }
  await clampPasswordDates(tree, sourceDateEpoch);
  await removeHostKeys(tree, progress);
}

/** Logs of the installation go; empty ones stay for the programs that expect them. */
async function emptyLogs(tree: string): Promise<void> {
  const folder = await resolveInTree(tree, "var/log", { followLast: true });
  if (!(await pathExists(folder))) return;
  const logs: Buffer[] = [];
  for await (const { path, stat } of walkTree(folder)) if (stat.isFile() && stat.size > 0n) logs.push(path);
  for (const path of logs) await rm(path);
}

/**
 * The third field of /etc/shadow is the day of the password's last change: for accounts that packages
 * made, the day of the build.
 */
async function clampPasswordDates(tree: string, sourceDateEpoch: number): Promise<void> {
  const shadow = await readTreeFile(tree, "etc/shadow");
  if (shadow === undefined) return;
  const day = Math.floor(sourceDateEpoch / 86_400);
  const clamped = shadow.replaceAll(/^([^:\n]*:[^:\n]*:)(\d+)(?=:)/gm, (_, start: string, date: string) => {
    return `${start}${Math.min(Number(date), day)}`;
  });
  if (clamped !== shadow) await writeTreeFile(tree, "etc/shadow", clamped);
}

/** Every machine of an image with host keys in it would have the same, and anyone with the image knows them. */
async function removeHostKeys(tree: string, progress: Progress): Promise<void> {
  const folder = await resolveInTree(tree, "etc/ssh", { followLast: true });
  const keys = (await names(folder)).filter((name) => /^ssh_host_\w+_key(\.pub)?$/.test(name));
  if (keys.length === 0) return;
  for (const name of keys) await rm(join(folder, name));
  progress.log(
    "warning",
    "removed the SSH host keys that the installation made: they would be the same on every machine",
    "have the first boot run ssh-keygen -A",
  );
}

async function emptyFolder(folder: string): Promise<void> {
  for (const name of await names(folder)) await rm(join(folder, name), { recursive: true, force: true });
}

async function names(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    throw error;
  }
}

async function treeHas(tree: string, path: string): Promise<boolean> {
  return await pathExists(await resolveInTree(tree, path));
}
