/**
 * Where the tools tree of a project is.
 * @module
 */
import { join } from "node:path";
import type { ImageConfig, ToolsTreeConfig } from "@imgtool/config";

/** Folder of the tools trees of a project. */
export function toolsFolder({ cacheDirectory, directory }: ImageConfig): string {
  return join(cacheDirectory ?? join(directory, "mkosi.cache"), "tools");
}

/** Name of a tools tree that is built, in that folder: its packages depend on the image's distribution. */
export function toolsOutput(config: ImageConfig, tools: ToolsTreeConfig): string {
  return `${tools.distribution}~${tools.release}~${config.distribution}`;
}

/** The path of the tree, which need not be there yet; undefined where this machine's programs are used. */
export function toolsTreePath(config: ImageConfig): string | undefined {
  const { toolsTree } = config;
  if (toolsTree === undefined || typeof toolsTree === "string") return toolsTree;
  return join(toolsFolder(config), toolsOutput(config, toolsTree));
}
