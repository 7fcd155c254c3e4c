/**
 * Everything that a tree with its packages depends on, under names that a person knows.
 * @module
 */
import { relative } from "node:path";
import type { ImageConfig } from "@imgtool/config";
import { configDigest } from "../record.ts";
import { digestPath, digestText } from "./digests.ts";
import { toolsTreePath } from "../tools-place.ts";
import { toolsIdentity } from "./tools.ts";
import { madeByBuilds, unseenByScripts } from "./sources.ts";

/** Digests by name: `Packages=`, `mkosi.skeleton`, `the packages of the archive`, … */
export type Inputs = Readonly<Record<string, string>>;

/** The input that only the archive knows. */
export const archivePackages = "the packages of the archive";

/** Raised when a cached tree of an older imgtool would not be what this one makes. */
const cacheVersion = 2;

/**
 * The inputs of a tree up to its prepare scripts.
 * @param packages digest of what the archive has for it
 */
export async function treeInputs(
  config: ImageConfig,
  packages: string,
  signal: AbortSignal | undefined,
): Promise<Inputs> {
  const inputs: Record<string, string> = {
    "imgtool's version": String(cacheVersion),
    [archivePackages]: packages,
  };
  const settings = {
    "Distribution=": config.distribution,
    "Release=": config.release,
    "Architecture=": config.architecture,
    "Packages=": [...config.packages].sort(),
    "WithDocs=": config.withDocs,
    "WithRecommends=": config.withRecommends,
    ...(config.machineId === undefined ? {} : { "MachineId=": config.machineId }),
    // A script may look at any of these.
    ...(config.prepareScripts.length === 0
      ? {}
      : {
          "Environment=": config.environment,
          "Profiles=": config.profiles,
          "ImageId=": config.imageId ?? null,
          "ImageVersion=": config.imageVersion ?? null,
          "Seed=": config.seed,
          "SourceDateEpoch=": config.sourceDateEpoch,
          "WithTests=": config.withTests,
          "WithNetwork=": config.withNetwork,
          "the configuration that scripts read": configDigest(config),
        }),
  };
  for (const [name, value] of Object.entries(settings)) inputs[name] = digestText(JSON.stringify(value));
  // Its package manager made the tree.
  const tools = toolsTreePath(config);
  if (tools !== undefined) inputs["the packages of the tools tree"] = await toolsIdentity(tools, signal);
  const sources = config.prepareScripts.length === 0 ? [] : config.buildSources;
  // Later times become the image's own at the end.
  const imageTime = config.sourceDateEpoch * 1000;
  const trees = [
    ...config.baseTrees.map((source) => ({ source, target: "/", latest: imageTime })),
    // Programs read these, and nothing of them gets into the tree: their times say nothing.
    ...config.sandboxTrees.map((tree) => ({ ...tree, latest: 0 })),
    ...config.skeletonTrees.map((tree) => ({ ...tree, latest: imageTime })),
  ].map((tree) => ({ ...tree, leftOut: madeByBuilds(config) }));
  for (const tree of sources)
    trees.push({ ...tree, latest: imageTime, leftOut: await unseenByScripts(config, tree.source, signal) });
  for (const { source, target, latest, leftOut } of trees)
    inputs[`${relative(config.directory, source) || "the project's files"} at ${target}`] = await digestPath(
      source,
      signal,
      leftOut,
      latest,
    );
  for (const path of config.prepareScripts)
    inputs[relative(config.directory, path)] = await digestPath(path, signal, () => false, imageTime);
  return inputs;
}

/** Names of the inputs that differ, sorted. */
export function changedInputs(before: Inputs, after: Inputs): string[] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...names].filter((name) => before[name] !== after[name]).sort();
}

/** One digest for all of them. */
export function inputsKey(inputs: Inputs): string {
  return digestText(JSON.stringify(Object.entries(inputs).sort(([a], [b]) => (a < b ? -1 : 1))));
}
