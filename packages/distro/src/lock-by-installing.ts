/**
 * Locks what package managers choose that do not tell it in a form for programs: by installing it into a tree
 * that is thrown away.
 * @module
 */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { runTool } from "@imgtool/host";
import type { Distribution, InstalledPackage, InstallOptions, LockedPackage, LockRequest } from "./distribution.ts";
import { lockInstalled, type PackagePlace } from "./locked-files.ts";
import { notInstalled } from "./locked.ts";

export interface LockByInstalling {
  readonly distribution: Pick<Distribution, "install" | "listPackages">;
  /** Where package files may be after an installation, with this cache. */
  readonly places: (options: InstallOptions) => Promise<readonly PackagePlace[]>;
  /** Finds the name of a package's file. */
  readonly fileName: (entry: InstalledPackage) => RegExp;
}

/** As Distribution.lock; leaves nothing in the workspace. */
export async function lockByInstalling(
  { distribution, places, fileName }: LockByInstalling,
  options: InstallOptions,
  requests: readonly LockRequest[],
): Promise<LockedPackage[][]> {
  const { signal } = options;
  const folder = join(options.workspace, "lock");
  const locked: LockedPackage[][] = [];
  try {
    for (const [number, { packages, onto }] of requests.entries()) {
      const tree = join(folder, `tree-${number}`);
      await mkdir(tree, { recursive: true, mode: 0o755 });
      const packageCache = options.packageCache ?? join(folder, "cache");
      const all = { ...options, tree, packageCache, locked: undefined };
      await runTool("cp", ["--archive", "--reflink=auto", "--no-target-directory", "--", options.tree, tree], {
        signal,
      });
      const before =
        onto === undefined
          ? await distribution.listPackages(tree)
          : (await distribution.install({ ...all, packages: onto })).packages;
      const { packages: installed } = await distribution.install({ ...all, packages });
      locked.push(await lockInstalled(notInstalled(installed, before), await places(all), fileName));
      await rm(tree, { recursive: true, force: true });
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return locked;
}
