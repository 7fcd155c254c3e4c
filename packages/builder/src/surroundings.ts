/**
 * What a project asks for of the machine that it is built on: the proxy that downloads go through, folders
 * with programs, the tools tree.
 * @module
 */
import { delimiter } from "node:path";
import type { ImageConfig } from "@imgtool/config";
import { proxyVariables } from "./proxy.ts";
import { type ToolsTreeOptions, withToolsTree } from "./tools-tree.ts";

/**
 * Runs `use` with the project's proxy, the programs of its folders, and those of its tools tree, which is built first
 * where that is asked for. Programs get all that by this process's environment, which is changed meanwhile: two
 * projects that ask for different things cannot be built at once in one process.
 * @throws as withToolsTree()
 */
export async function withSurroundings<Result>(
  config: ImageConfig,
  options: ToolsTreeOptions,
  use: () => Promise<Result>,
): Promise<Result> {
  const { PATH = "/usr/local/bin:/usr/bin:/bin" } = process.env;
  const variables = {
    ...proxyVariables(config),
    ...(config.extraSearchPaths.length === 0 ? {} : { PATH: [...config.extraSearchPaths, PATH].join(delimiter) }),
  };
  const before = Object.keys(variables).map((name) => [name, process.env[name]] as const);
  Object.assign(process.env, variables);
  try {
    return await withToolsTree(config, options, use);
  } finally {
    for (const [name, value] of before)
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
  }
}
