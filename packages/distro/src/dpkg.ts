/**
 * dpkg's database in a tree: what is installed, and what of it is kept in an image.
 * @module
 */
import { readFile } from "node:fs/promises";
import { systemErrorCode } from "@imgtool/core";
import { resolveInTree } from "@imgtool/sandbox";
import { parseStanzas } from "./apt-sources.ts";
import type { InstalledPackage } from "./distribution.ts";
import { emptyFolder, removeFromTree } from "./remove-from-tree.ts";

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
  await removeFromTree(tree, ["var/lib/dpkg", "var/lib/apt", "var/cache/apt", "var/cache/debconf", "var/log/apt"]);
}

/**
 * Removes what apt and dpkg leave behind that no two builds have alike, or that a running image has
 * no use for: caches, lists of the archive, logs, locks, backups of the database.
 */
export async function cleanDpkgVolatile(tree: string): Promise<void> {
  for (const folder of ["var/lib/apt/lists", "var/cache/apt", "var/log/apt"]) await emptyFolder(tree, folder);
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
  await removeFromTree(tree, files);
}
