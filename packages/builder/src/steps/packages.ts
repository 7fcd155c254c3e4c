/**
 * Installs, lists and removes packages.
 * @module
 */
import type { InstalledPackage } from "@imgtool/distro";
import type { BuildContext } from "../context.ts";
import { installOptions } from "../install-options.ts";
import { refuseUnlocked, withLocked } from "../lock-file.ts";
import { packageFolder } from "./scripts.ts";

/** Packages= */
export async function installPackages(context: BuildContext): Promise<void> {
  const { repositories, packages } = await context.distribution.install(await installOptions(context));
  context.repositories = repositories;
  context.packages = packages;
}

/** VolatilePackages= */
export async function installVolatilePackages(context: BuildContext): Promise<void> {
  const { config, distribution } = context;
  if (config.volatilePackages.length === 0) return;
  const options = await installOptions(context);
  const { packages, repositories } = await distribution.install({
    ...options,
    packages: config.volatilePackages,
    locked: withLocked(context.locked, "volatile"),
    packageDirectories: [
      ...config.packageDirectories,
      ...config.volatilePackageDirectories,
      await packageFolder(context.workspace),
    ],
  });
  // Only what was installed now comes with its digest.
  const former = new Map(context.packages.map((entry) => [keyOf(entry), entry]));
  context.packages = packages.map((entry) => ({ ...former.get(keyOf(entry)), ...entry }));
  context.repositories = repositories;
}

/** RemovePackages= */
export async function removePackages({ config, distribution, tree, progress, signal }: BuildContext): Promise<void> {
  if (config.removePackages.length === 0) return;
  const { removePackages: packages, architecture } = config;
  await distribution.remove({ tree, packages, architecture, progress, signal });
}

/** Asks the tree's database what is there after all scripts. */
export async function listPackages(context: BuildContext): Promise<void> {
  // The database does not say what was in the packages' files; the installation knew.
  const installed = new Map(context.packages.map((entry) => [keyOf(entry), entry]));
  const listed = await context.distribution.listPackages(context.tree);
  if (context.locked !== undefined) refuseUnlocked(listed, context.packages);
  context.packages = listed.map((entry) => ({ ...installed.get(keyOf(entry)), ...entry }));
}

function keyOf({ name, version, architecture }: InstalledPackage): string {
  return `${name} ${version} ${architecture}`;
}
