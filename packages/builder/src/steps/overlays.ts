/**
 * Folders of a build's workspace, and layers in them.
 * @module
 */
import { mkdir, statfs } from "node:fs/promises";
import { join } from "node:path";
import { EnvironmentError } from "@imgtool/core";
import type { Overlay } from "@imgtool/sandbox";

/** OVERLAYFS_SUPER_MAGIC of linux/magic.h. */
const overlayMagic = 0x794c_7630;

/**
 * An overlay whose upper layer is empty.
 * @throws EnvironmentError `overlay-unsupported`
 */
export async function makeOverlay(workspace: string, name: string, lower: readonly string[]): Promise<Overlay> {
  if ((await statfs(workspace)).type === overlayMagic) {
    throw new EnvironmentError(`${workspace} is on an overlay, which cannot hold the layers of another one`, {
      code: "overlay-unsupported",
      hint: "name a folder of another file system with WorkspaceDirectory= (in a container, a volume of it)",
      data: { path: workspace },
    });
  }
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
