/**
 * pacman's database in a tree: what is installed, and what of it is kept in an image.
 * @module
 */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemErrorCode } from "@imgtool/core";
import { resolveInTree } from "@imgtool/sandbox";
import type { InstalledPackage } from "./distribution.ts";
import { parseDescription } from "./pacman-description.ts";
import { packageKeyOf, readPackageSums } from "./pacman-sums.ts";
import { emptyFolder, removeFromTree } from "./remove-from-tree.ts";

const localFolder = "var/lib/pacman/local";

/** Where the lists of packages are in a tree. */
export const listFolder = "var/lib/pacman/sync";

/**
 * The packages in a tree, sorted by name; none when it has no database. SHA-256 of their files are told while
 * the tree still has the lists that they were installed from.
 */
export async function listPacmanPackages(tree: string): Promise<InstalledPackage[]> {
  const sums = await readPackageSums(await resolveInTree(tree, listFolder, { followLast: true }));
  const packages: InstalledPackage[] = [];
  for (const { text } of await descriptions(tree)) {
    const fields = parseDescription(text);
    const [name = "", version = "", architecture = "any"] = ["NAME", "VERSION", "ARCH"].map(
      (key) => fields.get(key)?.[0],
    );
    const source = fields.get("BASE")?.[0];
    const licenses = fields.get("LICENSE") ?? [];
    const sha256 = sums.get(packageKeyOf(fields));
    packages.push({
      name,
      version,
      architecture,
      ...(source === undefined || source === name ? {} : { source }),
      ...(licenses.length === 0 ? {} : { license: allLicenses(licenses) }),
      ...(sha256 === undefined ? {} : { sha256 }),
    });
  }
  return packages.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** Each is an expression of its own, and all of them hold. */
function allLicenses(licenses: readonly string[]): string {
  if (licenses.length === 1) return licenses[0] ?? "";
  return licenses.map((license) => (/ (?:and|or) /i.test(license) ? `(${license})` : license)).join(" AND ");
}

/** Every package was installed at `seconds` since 1970. */
export async function setPacmanInstallTimes(tree: string, seconds: number): Promise<void> {
  for (const { path, text } of await descriptions(tree))
    await writeFile(path, text.replace(/^(%INSTALLDATE%\n)\d+$/m, `$1${seconds}`));
}

/** Removes the database of packages from a tree. */
export async function cleanPacmanMetadata(tree: string): Promise<void> {
  await removeFromTree(tree, ["var/lib/pacman"]);
}

/** Removes what pacman leaves behind that no two builds have alike, or that no image needs. */
export async function cleanPacmanVolatile(tree: string): Promise<void> {
  for (const folder of [listFolder, "var/cache/pacman"]) await emptyFolder(tree, folder);
  await removeFromTree(tree, ["var/log/pacman.log", "var/lib/pacman/db.lck"]);
}

async function descriptions(tree: string): Promise<{ readonly path: string; readonly text: string }[]> {
  const folder = await resolveInTree(tree, localFolder, { followLast: true });
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return [];
    throw error;
  }
  const found: { path: string; text: string }[] = [];
  for (const name of names.sort()) {
    if (name === "ALPM_DB_VERSION") continue;
    const path = join(folder, name, "desc");
    found.push({ path, text: await readFile(path, "utf8") });
  }
  return found;
}
