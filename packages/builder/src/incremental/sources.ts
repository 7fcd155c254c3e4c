/**
 * The project's own files as scripts see them, without what builds make among them.
 * @module
 */
import { join, relative } from "node:path";
import type { ImageConfig } from "@imgtool/config";
import { ignoredPaths, isWithin } from "../git-files.ts";
import { mergedChecksums, mergedSignature } from "../merged-checksums.ts";
import { allOutputNames } from "../outputs.ts";

/** A function that says whether a path is a build's output, cache or history, or git's own. */
export function madeByBuilds(config: ImageConfig): (path: string) => boolean {
  const { directory, outputDirectory, cacheDirectory, packageCacheDirectory, buildDirectory, workspaceDirectory } =
    config;
  const folders = [
    ...(outputDirectory === directory ? [] : [outputDirectory]),
    cacheDirectory ?? join(directory, "mkosi.cache"),
    packageCacheDirectory,
    buildDirectory,
    workspaceDirectory,
    join(directory, ".git"),
    // History=.
    join(directory, ".mkosi-private"),
    ...[...allOutputNames(config), mergedChecksums, mergedSignature].map((name) => join(outputDirectory, name)),
  ].filter((path) => path !== undefined);
  const workspace = join(outputDirectory, `.${config.output}.build-`);
  return (path) =>
    path.startsWith(workspace) || folders.some((folder) => path === folder || path.startsWith(`${folder}/`));
}

/**
 * A function that says whether scripts do not see a path of a build source, or a build made it.
 * @throws what ignoredPaths throws
 */
export async function unseenByScripts(
  config: ImageConfig,
  source: string,
  signal: AbortSignal | undefined,
): Promise<(path: string) => boolean> {
  const isMade = madeByBuilds(config);
  if (!config.useGitFiles) return isMade;
  const isIgnored = isWithin(new Set(await ignoredPaths(source, signal)));
  return (path) => isMade(path) || isIgnored(relative(source, path));
}
