/**
 * Locks the packages of an image: what `imgtool lock` does.
 * @module
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ImageConfig } from "@imgtool/config";
import { ConfigError, silentProgress, type Progress } from "@imgtool/core";
import { distributionFor } from "@imgtool/distro";
import { initrdPackages } from "./boot/initrd-packages.ts";
import { isWithinKernel } from "./formats.ts";
import { installOptions } from "./install-options.ts";
import { checkLockable, writeLockedImage, type LockedImage } from "./lock-file.ts";

export interface LockOptions {
  readonly progress?: Progress;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Locks the packages that a build would install now; other images in the lock stay as they are.
 * @throws ConfigError `lock-unsupported`; what the distribution throws
 */
export async function lock(config: ImageConfig, options: LockOptions = {}): Promise<LockedImage> {
  checkLockable(config);
  const distribution = distributionFor(config.distribution);
  if (distribution.lock === undefined) {
    throw new ConfigError(`imgtool cannot lock the packages of ${config.distribution} yet`, {
      code: "lock-unsupported",
      hint: "Snapshot= holds a distribution at a moment where it has an archive of snapshots",
      data: { distribution: config.distribution },
    });
  }
  const workspace = await mkdtemp(join(tmpdir(), "imgtool-lock-"));
  try {
    const tree = join(workspace, "tree");
    await mkdir(tree);
    const { progress = silentProgress, signal } = options;
    const install = await installOptions({ config, tree, workspace, progress, signal });
    const boots =
      config.bootable !== "disabled" &&
      config.initrds.length === 0 &&
      !isWithinKernel(config.format) &&
      config.format !== "addon";
    const [packages = [], initrd = []] = await distribution.lock(
      install,
      boots ? [config.packages, initrdPackages(config)] : [config.packages],
    );
    const { release, architecture } = config;
    const image = { distribution: config.distribution, release, architecture, packages, initrd };
    await writeLockedImage(config, image);
    return image;
  } finally {
    await rm(workspace, { recursive: true, force: true });
  }
}
