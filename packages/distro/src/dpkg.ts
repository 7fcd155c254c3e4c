/**
 * dpkg's database in a tree: what is installed, and what of it is kept in an image.
 * @module
 */
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { systemErrorCode } from "@imgtool/core";
import { resolveInTree } from "@imgtool/sandbox";
import { parseStanzas } from "./apt-sources.ts";
import type { InstalledPackage } from "./distribution.ts";

/** The installed packages of a dpkg status file's text, sorted by name, then architecture. */
export function parseDpkgStatus(text: string): InstalledPackage[] {
  const packages: InstalledPackage[] = [];
  for (const fields of parseStanzas(text)) {
    const name = fields.get("package");
    const version = fields.get("version");
    if (name === undefined || version === undefined || fields.get("status")?.endsWith(" installed") !== true) continue;
    const source = fields.get("source")?.split(" ")[0];
    packages.push({
      name,
      version,
      architecture: fields.get("architecture") ?? "all",
      ...(source === undefined ? {} : { source }),
    });
  }
  return packages.sort((a, b) => compare(a.name, b.name) || compare(a.architecture, b.architecture));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The packages in a tree; none when it has no dpkg database. */
export async function listDpkgPackages(tree: string): Promise<InstalledPackage[]> {
  try {
    return parseDpkgStatus(
      await readFile(await resolveInTree(tree, "var/lib/dpkg/status", { followLast: true }), "utf8"),
    );
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return [];
    throw error;
  }
}

/** Removes the databases of dpkg and apt from a tree. */
export async function cleanDpkgMetadata(tree: string): Promise<void> {
  for (const path of ["var/lib/dpkg", "var/lib/apt", "var/cache/apt", "var/cache/debconf", "var/log/apt"])
    await rm(await resolveInTree(tree, path), { recursive: true, force: true });
}

/**
 * Removes what apt and dpkg leave behind that no two builds have alike, or that a running image has
 * no use for: caches, lists of the archive, logs, locks, backups of the database.
 */
export async function cleanDpkgVolatile(tree: string): Promise<void> {
  await empty(await resolveInTree(tree, "var/lib/apt/lists", { followLast: true }));
  await empty(await resolveInTree(tree, "var/cache/apt", { followLast: true }));
  await empty(await resolveInTree(tree, "var/log/apt", { followLast: true }));
  const files = [
    "var/log/dpkg.log",
    "var/log/alternatives.log",
    "var/lib/dpkg/lock",
    "var/lib/dpkg/lock-frontend",
    "var/lib/dpkg/triggers/Lock",
    "var/lib/apt/daily_lock",
    "var/cache/debconf/config.dat-old",
    "var/cache/debconf/passwords.dat-old",
    "var/cache/debconf/templates.dat-old",
  ];
  for (const name of ["available", "diversions", "statoverride", "status"]) files.push(`var/lib/dpkg/${name}-old`);
  for (const file of files) await rm(await resolveInTree(tree, file), { force: true });
}

/** Removes the content of a folder, if there is one. */
async function empty(folder: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return;
    throw error;
  }
  for (const name of names) await rm(join(folder, name), { recursive: true, force: true });
}
