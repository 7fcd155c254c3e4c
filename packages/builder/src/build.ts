/**
 * The build: a flat list of steps, run in order, from a configuration to outputs and their record.
 * @module
 */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ImageConfig, SettingValue } from "@imgtool/config";
import { silentProgress, throwIfAborted, type Progress } from "@imgtool/core";
import { distributionFor } from "@imgtool/distro";
import { buildroot, type SandboxOptions } from "@imgtool/sandbox";
import { filterModules } from "./boot/modules.ts";
import { prepareAsInitrd } from "./boot/initrd.ts";
import { checkBuild } from "./check.ts";
import type { BuildContext } from "./context.ts";
import { holdUmask } from "./fixed-umask.ts";
import { isWithinKernel } from "./formats.ts";
import { noteOutputs, unchangedRecord, wholeInputs } from "./incremental/unchanged.ts";
import { installOptions } from "./install-options.ts";
import { allLocked, lockedImage, type LockedImage } from "./lock-file.ts";
import { mergeChecksums } from "./merged-checksums.ts";
import { outputNames } from "./outputs.ts";
import { linkImage, publishOutputs, recordedOutputs } from "./publish-outputs.ts";
import { configDigest, formatBuildRecord, inputDigests, recordVersion, type BuildRecord } from "./record.ts";
import { runSteps, type Step } from "./step.ts";
import { configureAutologin } from "./steps/autologin.ts";
import { keepAdditions } from "./steps/base-trees.ts";
import { makeInitrds, planTheBoot, writeBootEntries } from "./steps/boot.ts";
import { buildProject, installBuilt } from "./steps/build-scripts.ts";
import { clampTimes } from "./steps/clamp-times.ts";
import { cleanTree } from "./steps/clean.ts";
import { copyTrees } from "./steps/copy-trees.ts";
import { writeExtensionRelease } from "./steps/extension-release.ts";
import { makeHardwareDatabase } from "./steps/hardware-database.ts";
import { packImage } from "./steps/pack.ts";
import { beginPartitions } from "./steps/pack-disk.ts";
import { makeBase, runSyncScripts } from "./steps/package-tree.ts";
import { installVolatilePackages, listPackages, removePackages } from "./steps/packages.ts";
import { runPostOutputScripts } from "./steps/post-output.ts";
import { removeFiles } from "./steps/remove-files.ts";
import { runScripts } from "./steps/scripts.ts";
import { relabelTree } from "./steps/selinux.ts";
import { applySettings, setMachineId, writeImageIdentity } from "./steps/settings.ts";
import { copyNspawnSettings, takeBills, writeChecksums, writeManifest } from "./steps/side-files.ts";
import { splitArtifacts } from "./steps/split.ts";
import { configureSsh } from "./steps/ssh.ts";
import { applyDeclarations } from "./steps/system-setup.ts";
import { abandonedWorkspaces, makeWorkspace } from "./workspace.ts";

export interface BuildOptions {
  readonly progress?: Progress;
  readonly signal?: AbortSignal | undefined;
  /** The settings of the image in the form of its summary: scripts find them at $MKOSI_CONFIG. */
  readonly settings?: Readonly<Record<string, SettingValue>>;
  /** Replaces outputs of an earlier build. Default false. */
  readonly force?: boolean;
  /** What is locked of the image; without it, what the project's lock says of it. */
  readonly locked?: LockedImage;
  /** Called when a script of the project has failed, with a function that opens a shell where it did. */
  readonly onScriptFailure?: SandboxOptions["onFailure"];
  /** Whether scripts are told to say more: $MKOSI_DEBUG. Default false. */
  readonly debug?: boolean;
}

/** Everything that happens to an image, in mkosi's order. */
const steps: readonly Step[] = [
  { name: "run sync scripts", run: runSyncScripts },
  { name: "make the tree with its packages", run: makeBase },
  { name: "build the project", run: buildProject },
  { name: "install volatile packages", run: installVolatilePackages },
  { name: "install what was built", run: installBuilt },
  { name: "copy extra trees", run: async (context) => await copyTrees(context, context.config.extraTrees) },
  {
    name: "run post-installation scripts",
    run: async (context) => await runScripts("postinst", context),
  },
  { name: "set up the login of consoles", run: async ({ tree, config }) => await configureAutologin(tree, config) },
  { name: "set up SSH", run: async ({ tree, config }) => await configureSsh(tree, config) },
  { name: "plan the boot", run: planTheBoot },
  {
    name: "name the image",
    async run({ tree, config }) {
      // What an addon adds to is named already.
      if (config.format !== "addon") await writeImageIdentity(tree, config);
    },
  },
  { name: "say what the extension fits", run: async ({ tree, config }) => await writeExtensionRelease(tree, config) },
  { name: "make what is declared", run: applyDeclarations },
  { name: "apply settings", run: async ({ tree, config, progress }) => await applySettings(tree, config, progress) },
  { name: "make the hardware database", run: makeHardwareDatabase },
  { name: "remove packages", run: removePackages },
  { name: "filter kernel modules", run: async (context) => await filterModules(context) },
  { name: "list packages", run: listPackages },
  // As long as the tree has the packages' licences.
  { name: "take the bills of materials", run: takeBills },
  {
    name: "clean up",
    async run({ tree, config, distribution, progress }) {
      await distribution.cleanVolatile(tree);
      if (config.cleanPackageMetadata) await distribution.cleanMetadata(tree);
      await cleanTree(tree, config.sourceDateEpoch, progress);
      // Scripts may have started what changes it.
      await setMachineId(tree, config.machineId);
    },
  },
  {
    name: "remove files",
    async run({ tree, config }) {
      await removeFiles(tree, config.removeFiles);
    },
  },
  { name: "keep what was added", run: keepAdditions },
  { name: "label files", run: relabelTree },
  { name: "run finalize scripts", run: async (context) => await runScripts("finalize", context) },
  {
    name: "prepare as initrd",
    async run({ tree, config }) {
      if (config.makeInitrd || isWithinKernel(config.format)) await prepareAsInitrd(tree, !config.makeInitrd);
    },
  },
  {
    name: "clamp times",
    async run({ tree, config, signal }) {
      await clampTimes(tree, config.sourceDateEpoch, signal);
    },
  },
  { name: "build initrd", run: makeInitrds },
  { name: "make partitions", run: beginPartitions },
  { name: "write boot entries", run: writeBootEntries },
  // Before the tree becomes the output.
  { name: "split artifacts", run: splitArtifacts },
  { name: "pack", run: packImage },
  { name: "copy the settings of systemd-nspawn", run: copyNspawnSettings },
  { name: "write manifest", run: writeManifest },
  { name: "write checksums", run: writeChecksums },
  { name: "run post-output scripts", run: runPostOutputScripts },
];

/**
 * Builds an image. Nothing in the output directory changes before everything is made; a build that
 * fails or is aborted leaves no trace.
 * @throws ExistsError `output-exists` without `force`; what the packages it is made of throw
 */
export async function build(config: ImageConfig, options: BuildOptions = {}): Promise<BuildRecord> {
  const { signal, force = false } = options;
  const progress = options.progress ?? silentProgress;
  throwIfAborted(signal);
  using _umask = holdUmask();
  const distribution = distributionFor(config.distribution);
  const toldWarnings = new Set<string>();
  await checkBuild(config, force, progress, toldWarnings);
  const locked = options.locked ?? (await lockedImage(config));
  const inputs = { config: configDigest(config), files: await inputDigests(config) };
  // A killed build leaves some hundred megabytes, and nobody looks for hidden folders.
  for (const path of await abandonedWorkspaces(config)) await rm(path, { recursive: true, force: true });
  await using workspace = await makeWorkspace(config);
  const context: BuildContext = {
    config,
    distribution,
    settings: options.settings,
    tree: workspace.tree,
    workspace: workspace.scratch,
    staging: workspace.staging,
    progress,
    toldWarnings,
    signal,
    onScriptFailure: options.onScriptFailure,
    debug: options.debug ?? false,
    scriptTools: once(
      async () =>
        await distribution.scriptTools?.(
          { ...(await installOptions(context)), locked: allLocked(context.locked) },
          buildroot,
        ),
    ),
    locked,
    buildImage: async (image, itsLock) =>
      await build(image, { progress, signal, force: true, ...(itsLock === undefined ? {} : { locked: itsLock }) }),
    boot: undefined,
    addonStub: undefined,
    grub: undefined,
    initrds: [],
    unified: undefined,
    disk: undefined,
    packedModules: new Map(),
    packages: [],
    repositories: [],
    bills: [],
    artifacts: [],
    fingerprints: undefined,
  };
  const whole = await wholeInputs(context);
  const former = whole === undefined ? undefined : await unchangedRecord(context, whole);
  if (former !== undefined) {
    if (config.checksum) await mergeChecksums(config, { isAnew: false, signal });
    return former;
  }
  await runSteps(steps, context);
  const record: BuildRecord = {
    recordVersion,
    ...(config.imageId === undefined ? {} : { imageId: config.imageId }),
    ...(config.imageVersion === undefined ? {} : { imageVersion: config.imageVersion }),
    output: config.output,
    format: config.format,
    distribution: config.distribution,
    release: config.release,
    architecture: config.architecture,
    seed: config.seed,
    sourceDateEpoch: config.sourceDateEpoch,
    artifacts: context.artifacts,
    packages: context.packages,
    repositories: context.repositories,
    inputs: { ...inputs, ...(whole === undefined ? {} : { whole }) },
  };
  const recordName = outputNames(config).record;
  await writeFile(join(workspace.staging, recordName), formatBuildRecord(record));
  await linkImage(config, workspace.staging);
  throwIfAborted(signal);
  const hadChecksums = (await recordedOutputs(config)).includes(outputNames(config).checksums);
  await publishOutputs(config, workspace.staging, [...context.artifacts.map(({ path }) => path), recordName]);
  if (config.checksum || hadChecksums) await mergeChecksums(config, { isAnew: true, signal });
  if (whole !== undefined) await noteOutputs(context, record);
  return record;
}

function once<Value>(make: () => Promise<Value>): () => Promise<Value> {
  let made: Promise<Value> | undefined;
  return () => (made ??= make());
}
