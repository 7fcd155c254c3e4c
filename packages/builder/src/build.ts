/**
 * The build: a flat list of steps, run in order, from a configuration to outputs and their record.
 * @module
 */
import { chmod, copyFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { defaultBootPath } from "@imgtool/boot";
import type { ImageConfig, SettingValue } from "@imgtool/config";
import { silentProgress, throwIfAborted, type Progress } from "@imgtool/core";
import { distributionFor, type InstalledPackage } from "@imgtool/distro";
import { describeFile, formatChecksums } from "./artifacts.ts";
import { keepAddonStub } from "./boot/addon.ts";
import { writeEntries } from "./boot/entries.ts";
import { makeGrubImages } from "./boot/grub.ts";
import { keepApart, packTreeAsInitrd } from "./boot/within-kernel.ts";
import { buildInitrd, prepareAsInitrd } from "./boot/initrd.ts";
import { findKernels, kernelPackage, placeKernels } from "./boot/kernels.ts";
import { installLoader } from "./boot/loader.ts";
import { filterModules } from "./boot/modules.ts";
import { findMissingHalf } from "./boot/lone-kernel.ts";
import { planBoot } from "./boot/plan.ts";
import { checkBuild } from "./check.ts";
import { allLocked, lockedImage, refuseUnlocked, withLocked, type LockedImage } from "./lock-file.ts";
import type { BuildContext } from "./context.ts";
import { copyTree } from "./copy-tree.ts";
import { holdUmask } from "./fixed-umask.ts";
import { formatManifest } from "./manifest.ts";
import { treeFingerprint } from "./incremental/fingerprints.ts";
import { treeInputs } from "./incremental/inputs.ts";
import { cachedScriptPackages, hasCachedTree, restoreTree, saveTree } from "./incremental/tree-cache.ts";
import { noteOutputs, unchangedRecord, wholeInputs } from "./incremental/unchanged.ts";
import { buildroot, type SandboxOptions } from "@imgtool/sandbox";
import { installOptions } from "./install-options.ts";
import { isWithinKernel } from "./formats.ts";
import { outputNames } from "./outputs.ts";
import { mergeChecksums } from "./merged-checksums.ts";
import { linkImage, publishOutputs, recordedOutputs } from "./publish-outputs.ts";
import { configDigest, formatBuildRecord, inputDigests, recordVersion, type BuildRecord } from "./record.ts";
import { formatCycloneDx } from "./sbom/cyclonedx.ts";
import { takeInventory } from "./sbom/inventory.ts";
import { formatSpdx } from "./sbom/spdx.ts";
import { signChecksums } from "./sign-checksums.ts";
import { copyBaseTrees, keepAdditions } from "./steps/base-trees.ts";
import { configureAutologin } from "./steps/autologin.ts";
import { buildProject, installBuilt } from "./steps/build-scripts.ts";
import { clampTimes } from "./steps/clamp-times.ts";
import { cleanTree } from "./steps/clean.ts";
import { removeFiles } from "./steps/remove-files.ts";
import { secureBootSigner } from "./signers.ts";
import { makeHardwareDatabase } from "./steps/hardware-database.ts";
import { writeExtensionRelease } from "./steps/extension-release.ts";
import { packImage } from "./steps/pack.ts";
import { beginPartitions } from "./steps/pack-disk.ts";
import { runPostOutputScripts } from "./steps/post-output.ts";
import { packageFolder, runScripts } from "./steps/scripts.ts";
import { relabelTree } from "./steps/selinux.ts";
import { configureSsh } from "./steps/ssh.ts";
import { applyDeclarations } from "./steps/system-setup.ts";
import { applySettings, setMachineId, writeImageIdentity } from "./steps/settings.ts";
import { splitArtifacts } from "./steps/split.ts";
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

interface Step {
  readonly name: string;
  run(context: BuildContext): Promise<void>;
}

/** What the tree with its packages is made by; a cached tree takes the place of it all. */
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
  {
    name: "list packages",
    async run(context) {
      // The database does not say what was in the packages' files; the installation knew.
      const installed = new Map(context.packages.map((entry) => [keyOf(entry), entry]));
      const listed = await context.distribution.listPackages(context.tree);
      if (context.locked !== undefined) refuseUnlocked(listed, context.packages);
      context.packages = listed.map((entry) => ({ ...installed.get(keyOf(entry)), ...entry }));
      await takeBills(context);
    },
  },
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
  {
    name: "build initrd",
    async run(context) {
      if (context.boot === undefined) return;
      // The distribution's images have theirs.
      if (context.boot.prebuilt && context.boot.grub.bios === undefined) return;
      if (isWithinKernel(context.config.format)) context.initrds = [await packTreeAsInitrd(context)];
      else context.initrds = context.config.initrds.length > 0 ? context.config.initrds : [await buildInitrd(context)];
    },
  },
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

async function runSteps(list: readonly Step[], context: BuildContext): Promise<void> {
  for (const step of list) {
    throwIfAborted(context.signal);
    context.progress.log("debug", `step: ${step.name}`);
    await step.run(context);
  }
}

/** They may leave out what a cached tree has: whether the archive has newer packages shows only after them, as with mkosi. */
async function runSyncScripts(context: BuildContext): Promise<void> {
  const { config, signal } = context;
  if (config.syncScripts.length === 0) return;
  const cached =
    config.incremental !== "no" &&
    (await hasCachedTree(config, async (packages) => await treeInputs(config, packages, signal)));
  await runScripts("sync", context, { cached });
}

async function makeBase(context: BuildContext): Promise<void> {
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

async function copyTrees(context: BuildContext, trees: ImageConfig["extraTrees"]): Promise<void> {
  if (trees.length === 0) return;
  using task = context.progress.start({ label: "copy trees" });
  let count = 0;
  for (const from of trees) {
    task.detail(from.source);
    count += await copyTree(from, context.tree, context);
  }
  task.done(`${count} files`);
}

async function copyBase(context: BuildContext): Promise<void> {
  if (context.config.baseTrees.length === 0) return;
  using task = context.progress.start({ label: "copy base trees" });
  task.done(`${await copyBaseTrees(context, context.tree)} files`);
}

async function installPackages(context: BuildContext): Promise<void> {
  const { repositories, packages } = await context.distribution.install(await installOptions(context));
  context.repositories = repositories;
  context.packages = packages;
}

async function installVolatilePackages(context: BuildContext): Promise<void> {
  const { config, distribution } = context;
  if (config.volatilePackages.length === 0) return;
  const options = await installOptions(context);
  const { packages, repositories } = await distribution.install({
    ...options,
    packages: config.volatilePackages,
    locked: withLocked(context.locked, "volatile"),
    packageDirectories: [
      ...config.packageDirectories,
      ...config.volatilePackageDirectories,
      await packageFolder(context.workspace),
    ],
  });
  // Only what was installed now comes with its digest.
  const former = new Map(context.packages.map((entry) => [keyOf(entry), entry]));
  context.packages = packages.map((entry) => ({ ...former.get(keyOf(entry)), ...entry }));
  context.repositories = repositories;
}

/** After this step it is known what the image lacks to boot: long before anything is packed. */
async function planTheBoot(context: BuildContext): Promise<void> {
  const { tree, config, progress } = context;
  await placeKernels(tree);
  if (config.format === "addon") context.addonStub = await keepAddonStub(context);
  context.boot = await planBoot(config, tree);
  if (context.boot === undefined) {
    if (config.format === "disk" && config.bootable === "auto") {
      const half = (await findKernels(tree)).length === 0 && (await findMissingHalf(tree, kernelPackage(config)));
      if (half) progress.log("warning", `not made bootable: ${half.message}`, `${half.hint}, or set Bootable=no`);
      else progress.log("debug", "the image lacks a kernel or a boot loader: it is not made bootable");
    }
    return;
  }
  if (isWithinKernel(config.format)) context.boot = await keepApart(context.boot, context.workspace);
  await installLoader(tree, context.boot, await secureBootSigner(config, silentProgress), config);
  const { grub, shim, efi } = context.boot;
  context.grub = await makeGrubImages(context, grub, shim?.secondStage ?? defaultBootPath(efi));
}

async function writeBootEntries(context: BuildContext): Promise<void> {
  const { boot, tree, config, disk, initrds, signal } = context;
  // The one of Format=uki is the output itself.
  if (boot === undefined || config.format === "uki") return;
  await writeEntries(context, boot, initrds, disk?.partitions ?? []);
  // What a disk gets is clamped on the way.
  if (disk === undefined) await clampTimes(tree, config.sourceDateEpoch, signal);
}

async function removePackages({ config, distribution, tree, progress, signal }: BuildContext): Promise<void> {
  if (config.removePackages.length === 0) return;
  const { removePackages: packages, architecture } = config;
  await distribution.remove({ tree, packages, architecture, progress, signal });
}

function keyOf({ name, version, architecture }: InstalledPackage): string {
  return `${name} ${version} ${architecture}`;
}

/** The bills of materials, as long as the tree has the packages' licences. */
async function takeBills(context: BuildContext): Promise<void> {
  const { config } = context;
  const forms = { spdx: formatSpdx, cyclonedx: formatCycloneDx } as const;
  const wanted = (["spdx", "cyclonedx"] as const).filter((form) => config.manifestFormat.includes(form));
  if (wanted.length === 0) return;
  const inventory = await takeInventory(context);
  for (const form of wanted) context.bills.push({ form, text: forms[form](inventory) });
}

async function copyNspawnSettings(context: BuildContext): Promise<void> {
  const { config, staging, artifacts } = context;
  if (config.nspawnSettings === undefined) return;
  const { nspawnSettings: name } = outputNames(config);
  await copyFile(config.nspawnSettings, join(staging, name));
  artifacts.push(await describeFile("nspawn-settings", name, { ...context, folder: staging }));
}

async function writeManifest(context: BuildContext): Promise<void> {
  const { config, staging, bills } = context;
  const names = outputNames(config);
  const files = bills.map(({ form, text }) => ({ kind: "sbom" as const, name: names[form], text }));
  const manifest = config.manifestFormat.includes("json")
    ? [
        {
          kind: "manifest" as const,
          name: names.manifest,
          text: formatManifest(config, context.distribution.packageType, context.packages),
        },
      ]
    : [];
  for (const { kind, name, text } of [...manifest, ...files]) {
    await writeFile(join(staging, name), text);
    context.artifacts.push(await describeFile(kind, name, { ...context, folder: staging }));
  }
}

async function writeChecksums(context: BuildContext): Promise<void> {
  const { config, staging, artifacts } = context;
  if (!config.checksum) return;
  const { checksums: name, signature } = outputNames(config);
  await writeFile(join(staging, name), formatChecksums(artifacts));
  artifacts.push(await describeFile("checksums", name, { ...context, folder: staging }));
  if (!config.sign) return;
  await signChecksums(config, join(staging, name), join(staging, signature), context.signal);
  artifacts.push(await describeFile("checksums-signature", signature, { ...context, folder: staging }));
}
