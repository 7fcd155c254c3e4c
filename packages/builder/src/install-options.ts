/**
 * What the packages of an image are installed with.
 * @module
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { InstallOptions } from "@imgtool/distro";
import { pathExists } from "@imgtool/host";
import type { BuildContext } from "./context.ts";
import { copyTree } from "./copy-tree.ts";

/** The part of a build that packages are chosen by. */
type InstallContext = Pick<BuildContext, "config" | "tree" | "workspace" | "progress" | "signal" | "locked">;

/** The options for the image of this context, with a folder of the workspace for the package manager. */
export async function installOptions(context: InstallContext): Promise<InstallOptions> {
  const { config, tree } = context;
  const workspace = join(context.workspace, "packages");
  await mkdir(workspace, { recursive: true });
  return {
    tree,
    workspace,
    sandboxTree: await makeSandboxTree(context),
    release: config.release,
    architecture: config.architecture,
    packages: config.packages,
    packageDirectories: config.packageDirectories,
    locked: context.locked?.packages,
    mirror: config.mirror,
    localMirror: config.localMirror,
    snapshot: config.snapshot,
    repositories: config.repositories,
    repositoryKeyCheck: config.repositoryKeyCheck,
    repositoryKeyFetch: config.repositoryKeyFetch,
    withRecommends: config.withRecommends,
    withDocs: config.withDocs,
    cacheOnly: config.cacheOnly,
    packageCache: config.packageCacheDirectory,
    sourceDateEpoch: config.sourceDateEpoch,
    progress: context.progress,
    signal: context.signal,
  };
}

/** The package manager's configuration and keys: the project's trees laid over each other. */
async function makeSandboxTree(context: InstallContext): Promise<string | undefined> {
  const { config, workspace } = context;
  if (config.sandboxTrees.length === 0) return undefined;
  const folder = join(workspace, "sandbox");
  if (await pathExists(folder)) return folder;
  await mkdir(folder, { mode: 0o755 });
  for (const tree of config.sandboxTrees) await copyTree(tree, folder, context);
  return folder;
}
