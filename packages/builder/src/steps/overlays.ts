/**
 * Folders of a build's workspace, and layers in them.
 * @module
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Overlay } from "@imgtool/sandbox";

/** An overlay whose upper layer is empty. */
export async function makeOverlay(workspace: string, name: string, lower: readonly string[]): Promise<Overlay> {
  const folder = await emptyFolder(workspace, `overlay-${name}-${++overlayCount}`);
  const [target, upper, work] = [join(folder, "target"), join(folder, "upper"), join(folder, "work")];
  for (const path of [target, upper, work]) await mkdir(path, { mode: 0o755 });
  return { target, lower, upper, work };
}

/** Overlays of one workspace have names of their own. */
let overlayCount = 0;

/** A folder of the workspace, made where it is not there. */
export async function emptyFolder(workspace: string, name: string): Promise<string> {
  const path = join(workspace, name);
  await mkdir(path, { recursive: true, mode: 0o755 });
  return path;
}
