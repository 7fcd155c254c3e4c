/**
 * The tree with its packages: what it is made by, and the cached tree that takes the place of it all.
 * @module
 */
import { chmod } from "node:fs/promises";
import type { BuildContext } from "../context.ts";
import { treeFingerprint } from "../incremental/fingerprints.ts";
import { treeInputs } from "../incremental/inputs.ts";
import { cachedScriptPackages, hasCachedTree, restoreTree, saveTree } from "../incremental/tree-cache.ts";
import { refuseUnlocked } from "../lock-file.ts";
import { runSteps, type Step } from "../step.ts";
import { copyBaseTrees } from "./base-trees.ts";
import { copyTrees } from "./copy-trees.ts";
import { installPackages } from "./packages.ts";
import { runScripts } from "./scripts.ts";
import { setMachineId } from "./settings.ts";

const baseSteps: readonly Step[] = [
  {
    name: "prepare tree",
    async run({ tree, config, distribution }) {
      await chmod(tree, 0o755);
      // A base has its links; those it lacks it was given without.
      // An addon adds to an initrd that has them.
      if (config.baseTrees.length === 0 && config.format !== "addon")
        await distribution.prepareTree(tree, config.architecture);
    },
  },
  { name: "copy base trees", run: copyBase },
  { name: "copy skeleton trees", run: async (context) => await copyTrees(context, context.config.skeletonTrees) },
  { name: "install packages", run: installPackages },
  { name: "set the machine id", run: async ({ tree, config }) => await setMachineId(tree, config.machineId) },
  { name: "run prepare scripts", run: runPrepareScripts },
];

/** They may leave out what a cached tree has: whether the archive has newer packages shows only after them, as with mkosi. */
export async function runSyncScripts(context: BuildContext): Promise<void> {
  const { config, signal } = context;
  if (config.syncScripts.length === 0) return;
  const cached =
    config.incremental !== "no" &&
    (await hasCachedTree(config, async (packages) => await treeInputs(config, packages, signal)));
  await runScripts("sync", context, { cached });
}

/** Runs the steps above, or restores what they made last time from the same inputs. */
export async function makeBase(context: BuildContext): Promise<void> {
  const { config, tree, signal } = context;
  if (config.incremental === "no") {
    await runSteps(baseSteps, context);
    return;
  }
  const remembered = config.prepareScripts.length === 0 ? [] : await cachedScriptPackages(config);
  const packages = await treeFingerprint(context, remembered);
  if (packages === undefined) {
    const why = `imgtool cannot tell whether the repositories of ${config.distribution} have changed`;
    context.progress.log("info", `no cached tree: ${why}`);
    await runSteps(baseSteps, context);
    return;
  }
  const inputs = await treeInputs(config, packages, signal);
  const cached = await restoreTree(inputs, tree, context);
  if (cached !== undefined) {
    context.packages = cached.packages;
    context.repositories = cached.repositories;
    return;
  }
  // File systems take times from a clock that stands still for up to 10 ms: the first files seem to be older.
  const begun = Date.now() - 20;
  await runSteps(baseSteps, context);
  const scriptPackages =
    config.prepareScripts.length === 0 ? [] : ((await (await context.scriptTools())?.asked()) ?? []);
  const made =
    scriptPackages.join(" ") === remembered.join(" ")
      ? inputs
      : await treeInputs(config, (await treeFingerprint(context, scriptPackages)) ?? packages, signal);
  const { packages: installed, repositories } = context;
  await saveTree({ inputs: made, begun, packages: installed, repositories, scriptPackages }, tree, context);
}

async function runPrepareScripts(context: BuildContext): Promise<void> {
  const { config, locked, distribution, tree, packages } = context;
  await runScripts("prepare", context);
  if (locked !== undefined && config.prepareScripts.length > 0)
    refuseUnlocked(await distribution.listPackages(tree), packages);
}

async function copyBase(context: BuildContext): Promise<void> {
  if (context.config.baseTrees.length === 0) return;
  using task = context.progress.start({ label: "copy base trees" });
  task.done(`${await copyBaseTrees(context, context.tree)} files`);
}
