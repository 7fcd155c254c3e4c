/**
 * Locked RPM packages: gathered from the cache, the repositories and the project's own, and made a repository
 * that has them and no others. What dnf and zypper choose from it is what was locked, whatever the
 * repositories have by then.
 * @module
 */
import { cp, mkdir, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { runTool, requireTool } from "@imgtool/host";
import type { InstallOptions, LockedPackage } from "./distribution.ts";
import { localRepositoryName } from "./local-packages.ts";
import { checkGathered, gatherLocked, isOwn, type PackagePlace } from "./locked-files.ts";
import { lockError } from "./locked.ts";
import type { RpmWorkspace } from "./rpm-configuration.ts";
import { readRepositorySections, repositoryOfFolder } from "./rpm-repository-files.ts";

export interface LockedRpmOptions {
  /** Those that the tree does not have yet. */
  readonly locked: readonly LockedPackage[];
  readonly workspace: RpmWorkspace;
  /** Folder for what is made here. */
  readonly folder: string;
  readonly places: readonly PackagePlace[];
  readonly keyCheck: boolean;
  /** Downloads packages from the repositories of the folder. */
  readonly fetch: (repositoryFolder: string) => Promise<void>;
  readonly signal: AbortSignal | undefined;
}

/**
 * @returns the folder with the list of the repositories that have the locked packages alone
 * @throws NotFoundError `lock-unsatisfied`; what the download throws
 */
export async function lockedRpmRepositories(options: LockedRpmOptions): Promise<string> {
  const { locked, workspace, folder, places, fetch } = options;
  await requireTool("createrepo_c");
  // The project's own have no signatures.
  const [own, signed] = [locked.filter(isOwn), locked.filter((entry) => !isOwn(entry))];
  const gather = async (): ReturnType<typeof gatherLocked> => [
    ...(await gatherLocked(own, places, join(folder, "own"))),
    ...(await gatherLocked(signed, places, join(folder, "signed"))),
  ];
  const text = async (): Promise<string> => await describe(options);
  const missing = await gather();
  if (missing.length > 0) {
    checkGathered(missing.filter(isOwn));
    const fetching = join(folder, "fetch");
    await cp(workspace.repositoryFolder, fetching, {
      recursive: true,
      // It would hide those of the archives that it has newer ones of.
      filter: (path) => basename(path) !== `${localRepositoryName}.repo`,
    });
    await writeFile(join(fetching, "imgtool-locked.repo"), await text());
    await fetch(fetching).catch((error: unknown) => {
      throw lockError(error);
    });
    checkGathered(await gather());
  }
  const repositories = join(folder, "repositories");
  await mkdir(repositories);
  await writeFile(join(repositories, "imgtool-locked.repo"), await text());
  return repositories;
}

/** Makes repositories of what has been gathered, and describes them. */
async function describe({ folder, workspace, keyCheck, signal }: LockedRpmOptions): Promise<string> {
  const keys = [...new Set(workspace.repositories.filter(({ enabled }) => enabled).flatMap((entry) => entry.keys))];
  const lines: string[] = [];
  for (const name of ["own", "signed"]) {
    const place = join(folder, name);
    await runTool("createrepo_c", ["--quiet", place], { signal });
    // A project with lists of repositories of its own keeps their keys there: its packages go by their digests alone.
    const isChecked = name === "signed" && keyCheck && keys.length > 0;
    lines.push(
      `[imgtool-locked-${name}]`,
      `name=imgtool-locked-${name}`,
      `baseurl=file://${encodeURI(place)}`,
      "enabled=1",
      `gpgcheck=${isChecked ? 1 : 0}`,
      // The list itself was made here.
      "repo_gpgcheck=0",
      ...(isChecked ? ["pkg_gpgcheck=1", `gpgkey=${keys.join("\n       ")}`] : []),
      "priority=1",
      "metadata_expire=0",
      "autorefresh=1",
      "keeppackages=0",
      "",
    );
  }
  return lines.join("\n");
}

/**
 * Where package files may be: the project's own, repositories on this machine, and the cache.
 * @param variables of the addresses of repositories
 */
export async function rpmPlaces(
  options: InstallOptions,
  repositoryFolder: string,
  variables: Readonly<Record<string, string>>,
  cache: string,
): Promise<PackagePlace[]> {
  const places: PackagePlace[] = (options.packageDirectories ?? []).map((folder) => ({ folder, source: basename }));
  for (const { id, lines } of await readRepositorySections(repositoryFolder))
    for (const line of lines) {
      const url = /^baseurl *= *(file:\/\/\S+)/.exec(line)?.[1];
      if (url === undefined) continue;
      const filled = url.replaceAll(/\$(\w+)/g, (text, variable: string) => variables[variable] ?? text);
      places.push({ folder: fileURLToPath(filled), source: (path) => `${id}/${path}` });
    }
  return [...places, { folder: cache, source: cacheSource }];
}

/** dnf keeps the packages of a repository in ID-DIGEST/packages/, zypper in packages/ID/. */
function cacheSource(path: string): string {
  const [first = "", ...rest] = path.split("/");
  if (first === "packages") return rest.join("/");
  return [repositoryOfFolder(first), ...rest.filter((part) => part !== "packages")].join("/");
}
