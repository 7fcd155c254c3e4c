/**
 * Locks the packages of an image: what `imgtool lock` does.
 * @module
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import type { ImageConfig } from "@imgtool/config";
import { ConfigError, NotFoundError, silentProgress, type Progress } from "@imgtool/core";
import {
  distributionFor,
  type Distribution,
  type InstallOptions,
  type LockedPackage,
  type LockRequest,
} from "@imgtool/distro";
import { pathExists } from "@imgtool/host";
import { initrdPackages, mayBuildInitrd } from "./boot/initrd-packages.ts";
import { installOptions } from "./install-options.ts";
import { writeLockedImage, type LockedImage } from "./lock-file.ts";
import { copyBaseTrees } from "./steps/base-trees.ts";

export interface LockOptions {
  readonly progress?: Progress;
  readonly signal?: AbortSignal | undefined;
}

/**
 * What the packages of images are installed onto has to be there: before the first of them is locked, so that no
 * lock has some of the images.
 * @throws NotFoundError `tree-not-found`
 */
export async function checkLockable(configs: readonly ImageConfig[]): Promise<void> {
  for (const { baseTrees, output } of configs)
    for (const source of baseTrees) {
      if (await pathExists(source)) continue;
      throw new NotFoundError(`the base tree ${source} does not exist, which ${output} has its packages on top of`, {
        code: "tree-not-found",
        hint: "build it first, with imgtool build where it is an image of this project, or correct BaseTrees=",
        data: { source },
      });
    }
}

/**
 * Locks the packages that a build would install now; other images in the lock stay as they are.
 * @throws ConfigError `lock-unsupported`, NotFoundError `tree-not-found` for a base tree; what the distribution throws
 */
export async function lock(config: ImageConfig, options: LockOptions = {}): Promise<LockedImage> {
  const distribution = distributionFor(config.distribution);
  if (distribution.lock === undefined) {
    throw new ConfigError(`imgtool cannot lock the packages of ${config.distribution} yet`, {
      code: "lock-unsupported",
      hint: "Snapshot= holds a distribution at a moment where it has an archive of snapshots",
      data: { distribution: config.distribution },
    });
  }
  // Trees of packages may be made in it.
  const workspace = await mkdtemp(join(config.workspaceDirectory ?? "/var/tmp", "imgtool-lock-"));
  try {
    const tree = join(workspace, "tree");
    await mkdir(tree);
    const { progress = silentProgress, signal } = options;
    await copyBaseTrees({ config, progress, signal }, tree);
    const install = await installOptions({ config, tree, workspace, progress, signal, locked: undefined });
    const onto = config.packages;
    const requests: readonly (LockRequest | undefined)[] = [
      { packages: onto },
      config.buildPackages.length > 0 && config.buildScripts.length > 0
        ? { packages: config.buildPackages, onto }
        : undefined,
    ];
    const [packages = [], build = []] = await lockAll(distribution, install, requests);
    const empty = join(workspace, "empty");
    await mkdir(empty);
    // The initrd begins with no base trees.
    const [initrd = []] = await lockAll(distribution, { ...install, tree: empty }, [
      mayBuildInitrd(config) ? { packages: initrdPackages(config) } : undefined,
    ]);
    const { packageDirectories, volatilePackageDirectories, volatilePackages } = config;
    const [volatile = []] = await lockAll(
      distribution,
      { ...install, packageDirectories: [...packageDirectories, ...volatilePackageDirectories] },
      [volatilePackages.length > 0 ? { packages: volatilePackages, onto } : undefined],
    );
    const { release, architecture } = config;
    const image = { distribution: config.distribution, release, architecture, packages, build, volatile, initrd };
    await writeLockedImage(config, image);
    return image;
  } finally {
    await rm(workspace, { recursive: true, force: true });
  }
}

/** None for what is not asked for. */
async function lockAll(
  distribution: Distribution,
  install: InstallOptions,
  requests: readonly (LockRequest | undefined)[],
): Promise<LockedPackage[][]> {
  const asked = requests.filter((request) => request !== undefined);
  const locked = asked.length === 0 ? [] : ((await distribution.lock?.(install, asked)) ?? []);
  return requests.map((request) => (request === undefined ? [] : (locked.shift() ?? [])));
}
