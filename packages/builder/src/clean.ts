/**
 * Removes what builds of a project made: its outputs, and the workspaces of builds that were killed.
 * @module
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ImageConfig, SettingValue } from "@imgtool/config";
import { silentProgress, type Progress } from "@imgtool/core";
import { distributionFor } from "@imgtool/distro";
import { pathExists } from "@imgtool/host";
import { cacheFolder } from "./incremental/tree-cache.ts";
import { isChecksums, mergeChecksums } from "./merged-checksums.ts";
import { allOutputNames } from "./outputs.ts";
import { isImageLink, recordedOutputs } from "./publish-outputs.ts";
import { runScripts } from "./steps/scripts.ts";
import { toolsFolder } from "./tools-place.ts";
import { abandonedWorkspaces } from "./workspace.ts";

export interface CleanOptions {
  readonly progress?: Progress;
  readonly signal?: AbortSignal | undefined;
  /** As BuildOptions has them. */
  readonly settings?: Readonly<Record<string, SettingValue>>;
  /** As BuildOptions has it. */
  readonly debug?: boolean;
  /** Caches that go, too: what Incremental= kept, or all, with the distribution's downloaded packages. Default "none". */
  readonly caches?: "none" | "incremental" | "all";
}

/**
 * Runs the project's clean scripts, and removes the outputs under the names of the configuration, and what the build record lists. A folder
 * of the output's name goes only when the record says that a build made it. SHA256SUMS keeps what other images
 * list. Returns the paths removed.
 */
export async function clean(config: ImageConfig, options: CleanOptions = {}): Promise<string[]> {
  await runCleanScripts(config, options);
  const recorded = await recordedOutputs(config);
  const isLink = await isImageLink(config);
  const names = allOutputNames(config).filter((name) => name !== config.output || isLink || recorded.includes(name));
  const paths = [...new Set([...names, ...recorded])].map((name) => join(config.outputDirectory, name));
  const removed: string[] = [];
  for (const path of [...paths, ...(await abandonedWorkspaces(config)), ...cachesOf(config, options.caches)]) {
    if (!(await pathExists(path))) continue;
    await rm(path, { recursive: true, force: true });
    removed.push(path);
  }
  if (removed.some(isChecksums))
    removed.push(...(await mergeChecksums(config, { isAnew: false, signal: options.signal })));
  return removed;
}

function cachesOf(config: ImageConfig, caches: CleanOptions["caches"] = "none"): string[] {
  if (caches === "none") return [];
  if (caches === "incremental") return [cacheFolder(config)];
  // The folder may hold other distributions' packages, for other projects, and what is no cache at all.
  const name = distributionFor(config.distribution).cacheName?.(config.release);
  const { packageCacheDirectory: packages } = config;
  const downloaded = packages === undefined || name === undefined ? [] : [join(packages, name)];
  return [cacheFolder(config), toolsFolder(config), ...downloaded];
}

/** The scripts see the output folder, before anything in it is removed. */
async function runCleanScripts(
  config: ImageConfig,
  { progress, signal, settings, debug }: CleanOptions,
): Promise<void> {
  if (config.cleanScripts.length === 0) return;
  const workspace = await mkdtemp(join(tmpdir(), "imgtool-clean-"));
  try {
    await mkdir(config.outputDirectory, { recursive: true });
    await runScripts("clean", {
      config,
      distribution: distributionFor(config.distribution),
      settings,
      debug,
      workspace,
      staging: config.outputDirectory,
      progress: progress ?? silentProgress,
      signal,
    });
  } finally {
    await rm(workspace, { recursive: true, force: true });
  }
}
