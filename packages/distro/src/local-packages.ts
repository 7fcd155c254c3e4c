/**
 * Package files of the project's own: gathered in a folder that becomes a repository of the package
 * manager's form, which comes before those of the archives.
 * @module
 */
import { constants } from "node:fs";
import { copyFile, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { requireTool, runTool } from "@imgtool/host";
import { plainFiles } from "./package-cache.ts";
import type { PackageType, Repository } from "./distribution.ts";

/** How the repository is called where it needs a name. */
export const localRepositoryName = "imgtool-packages";

const endings: Readonly<Record<PackageType, RegExp>> = {
  deb: /\.u?deb$/,
  rpm: /(?<!\.src)\.rpm$/,
  pkg: /\.pkg\.tar(?:\.(?:zst|xz|gz|bz2))?$/,
};

/** Where each package manager wants a lower number, or a higher one, for what comes first; 99 and 500 are usual. */
const localRepositoryPriority = { apt: 1000, rpm: 10 } as const;

/** Whether a file's name is that of a package. */
function isPackageFile(type: PackageType, name: string): boolean {
  return endings[type].test(name);
}

/** The packages of the folders: paths by their names, sorted; of two of one name the later counts. */
export async function packageFiles(
  type: PackageType,
  folders: readonly string[],
): Promise<(readonly [name: string, path: string])[]> {
  const found = new Map<string, string>();
  for (const folder of folders)
    for (const name of await plainFiles(folder)) if (isPackageFile(type, name)) found.set(name, join(folder, name));
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Copies the packages of the folders to the folder `to`, which is made. @returns their names, sorted */
async function gatherPackages(type: PackageType, folders: readonly string[], to: string): Promise<string[]> {
  await mkdir(to, { recursive: true });
  const found = await packageFiles(type, folders);
  // Copies: package managers may change what they find in a repository of files, links and modes.
  for (const [name, path] of found) await copyFile(path, join(to, name), constants.COPYFILE_FICLONE);
  return found.map(([name]) => name);
}

/**
 * A repository for apt.
 * @returns undefined when the folders hold no packages
 * @throws EnvironmentError `tool-missing`, ProcessError for a file that is no package
 */
export async function makeAptRepository(
  folders: readonly string[],
  to: string,
  signal: AbortSignal | undefined,
): Promise<Repository | undefined> {
  await rm(to, { recursive: true, force: true });
  if ((await gatherPackages("deb", folders, to)).length === 0) return undefined;
  await requireTool("apt-ftparchive");
  const run = async (args: readonly string[]): Promise<string> =>
    (await runTool("apt-ftparchive", ["-q=2", ...args, "."], { cwd: to, signal })).stdout;
  await writeFile(join(to, "Packages"), await run(["packages"]));
  // The pin goes by it: an address alone would be that of other repositories of files, too.
  const origin = `-oAPT::FTPArchive::Release::Origin=${localRepositoryName}`;
  await writeFile(join(to, "Release"), await run([origin, "release"]));
  // As file: apt would have dpkg read the packages here, which it does not see from within the image.
  return { uri: `copy:${encodeURI(to)}`, suite: "./", components: [], trusted: true };
}

/** The pin by which apt takes packages of the project's own, whatever their version. */
export const localRepositoryPin: string = `Package: *\nPin: release o=${localRepositoryName}\nPin-Priority: ${localRepositoryPriority.apt}\n`;

/** A repository for dnf and zypper; as makeAptRepository. */
export async function makeRpmRepository(
  folders: readonly string[],
  to: string,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  await rm(to, { recursive: true, force: true });
  if ((await gatherPackages("rpm", folders, to)).length === 0) return undefined;
  await requireTool("createrepo_c");
  await runTool("createrepo_c", ["--quiet", to], { signal });
  return [
    `[${localRepositoryName}]`,
    `name=${localRepositoryName}`,
    `baseurl=file://${encodeURI(to)}`,
    "enabled=1",
    "gpgcheck=0",
    `priority=${localRepositoryPriority.rpm}`,
    // Of one build: what dnf remembers of it must not outlive it.
    "metadata_expire=0",
    "autorefresh=1",
    "keeppackages=0",
    "",
  ].join("\n");
}

/** A repository for pacman, as the section of its configuration; as makeAptRepository. */
export async function makePacmanRepository(
  folders: readonly string[],
  to: string,
  signal: AbortSignal | undefined,
): Promise<{ readonly section: readonly string[]; readonly files: readonly string[] } | undefined> {
  await rm(to, { recursive: true, force: true });
  const files = await gatherPackages("pkg", folders, to);
  if (files.length === 0) return undefined;
  await requireTool("repo-add");
  const database = join(to, `${localRepositoryName}.db.tar.gz`);
  await runTool("repo-add", ["--quiet", database, ...files.map((name) => join(to, name))], { signal });
  return {
    section: ["", `[${localRepositoryName}]`, "SigLevel = Never", `Server = file://${to}`],
    files,
  };
}
