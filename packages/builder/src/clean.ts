/**
 * Removes what builds of a project made: its outputs, and the workspaces of builds that were killed.
 * @module
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { ImageConfig } from "@imgtool/config";
import { pathExists } from "@imgtool/host";
import { allOutputNames } from "./outputs.ts";
import { recordedOutputs } from "./publish-outputs.ts";
import { abandonedWorkspaces } from "./workspace.ts";

/**
 * Removes the outputs under the names of the configuration, and what the build record lists. A folder
 * of the output's name goes only when the record says that a build made it. Returns the paths removed.
 */
export async function clean(config: ImageConfig): Promise<string[]> {
  const recorded = await recordedOutputs(config);
  const names = allOutputNames(config).filter((name) => name !== config.output || recorded.includes(name));
  const paths = [...new Set([...names, ...recorded])].map((name) => join(config.outputDirectory, name));
  const removed: string[] = [];
  for (const path of [...paths, ...(await abandonedWorkspaces(config))]) {
    if (!(await pathExists(path))) continue;
    await rm(path, { recursive: true, force: true });
    removed.push(path);
  }
  return removed;
}
