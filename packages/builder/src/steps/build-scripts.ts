/**
 * Prepares the build and runs the build scripts: on the image's tree, but in layers over it that are
 * thrown away. What the scripts install to $DESTDIR becomes part of the image.
 * @module
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { BuildContext } from "../context.ts";
import { copyTree } from "../copy-tree.ts";
import { makeOverlay, runScripts } from "./scripts.ts";

/** Prepare scripts run on the image itself, and once more on the layer that the build scripts see. */
export async function buildProject(context: BuildContext): Promise<void> {
  const { config, tree, workspace, progress, signal } = context;
  if (config.buildScripts.length === 0) return;
  // One upper layer for both: what is prepared is there when it is built.
  const overlay = await makeOverlay(workspace, "build", [tree]);
  const build = { ...context, tree: overlay.target };
  await runScripts("prepare", build, { args: ["build"], overlays: [overlay] });

  const volatile = await makeOverlay(workspace, "volatile", [overlay.upper, tree]);
  const destination = join(workspace, "dest");
  await mkdir(destination, { mode: 0o755 });
  await runScripts("build", { ...context, tree: volatile.target }, { overlays: [volatile], destination });
  await copyTree({ source: destination, target: "/" }, tree, { progress, signal, owners: "kept" });
}
