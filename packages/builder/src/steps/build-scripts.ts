/**
 * Prepares the build and runs the build scripts: on the image's tree, but in layers over it that are
 * thrown away. What the scripts install to $DESTDIR becomes part of the image.
 * @module
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { pathExists } from "@imgtool/host";
import type { BuildContext } from "../context.ts";
import { copyTree } from "../copy-tree.ts";
import { copyTreeRoot } from "../subvolumes.ts";
import { installOptions } from "../install-options.ts";
import { withLocked } from "../lock-file.ts";
import { makeOverlay } from "./overlays.ts";
import { runScripts } from "./scripts.ts";

/** Prepare scripts run on the image itself, and once more on the layer that the build scripts see. */
export async function buildProject(context: BuildContext): Promise<void> {
  const { config, workspace } = context;
  if (config.buildScripts.length === 0) return;
  const tree = config.buildPackages.length === 0 ? context.tree : await installBuildPackages(context);
  // One upper layer for both: what is prepared is there when it is built.
  const overlay = await makeOverlay(workspace, "build", [tree]);
  const build = { ...context, tree: overlay.target };
  await runScripts("prepare", build, { args: ["build"], overlays: [overlay] });
  if (config.scriptsOfFirstMkosi) await runScripts("postinst", build, { args: ["build"], overlays: [overlay] });

  const volatile = await makeOverlay(workspace, "volatile", [overlay.upper, tree]);
  const destination = destinationOf(context);
  await mkdir(destination, { mode: 0o755 });
  await runScripts("build", { ...context, tree: volatile.target }, { overlays: [volatile], destination });
}

/** Copies what the build scripts left in $DESTDIR to the image: after its packages, whose files it replaces. */
export async function installBuilt(context: BuildContext): Promise<void> {
  const { tree, progress, signal } = context;
  const destination = destinationOf(context);
  if (!(await pathExists(destination))) return;
  await copyTree({ source: destination, target: "/" }, tree, { progress, signal, owners: "kept" });
}

function destinationOf({ workspace }: BuildContext): string {
  return join(workspace, "dest");
}

/**
 * A copy of the tree with BuildPackages=, which is gone with the workspace. A copy, where mkosi mounts an
 * overlay: package managers work on the tree from outside the sandbox that overlays are mounted in.
 */
async function installBuildPackages(context: BuildContext): Promise<string> {
  const { config, distribution, workspace, signal } = context;
  const tree = join(workspace, "build-tree");
  await copyTreeRoot(context.tree, tree, config.useSubvolumes, signal);
  const options = await installOptions({ ...context, tree });
  const locked = withLocked(context.locked, "build");
  await distribution.install({ ...options, packages: config.buildPackages, locked });
  return tree;
}
