/**
 * The default initrd: a small image of the same distribution, built by the same pipeline, that finds the
 * root file system, opens it and goes on there. Its packages and what is left out of it are mkosi's.
 * @module
 */
import { copyFile, mkdir, readdir, rm, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { defaultInitrd, type ImageConfig } from "@imgtool/config";
import { ConfigError } from "@imgtool/core";
import { makeAtomically, pathExists } from "@imgtool/host";
import { auxiliaryImage } from "../auxiliary-image.ts";
import type { BuildContext } from "../context.ts";
import { digestText } from "../incremental/digests.ts";
import { toolsIdentity } from "../incremental/tools.ts";
import { fetchKept, keepShared } from "../incremental/tree-store.ts";
import { toolsTreePath } from "../tools-place.ts";
import { fingerprints } from "../incremental/fingerprints.ts";
import { cacheFolder } from "../incremental/tree-cache.ts";
import { outputNames } from "../outputs.ts";
import { lockedInitrd } from "../lock-file.ts";
import { configDigest } from "../record.ts";
import { linkTreeFile, readTreeFile, writeTreeFile } from "../tree-file.ts";
import { hasDefaultInitrd, initrdPackages, initrdRemovedPackages } from "./initrd-packages.ts";

/** Files that a package of the distribution would bring if there were one. */
const files: Readonly<Record<string, string>> = {
  // udev's knowledge of these devices must outlive the change to the real root, which would wait for them else.
  "usr/lib/udev/rules.d/10-imgtool-initrd.rules":
    'SUBSYSTEM=="block", KERNEL=="dm-[0-9]*|md[0-9_]*", ACTION=="add|change", OPTIONS+="db_persist"\n',
  "usr/lib/systemd/system/systemd-cryptsetup@.service.d/imgtool-credentials.conf": [
    "[Service]",
    ...["passphrase", "fido2-pin", "tpm2-pin", "luks2-pin", "pkcs11-pin"].map(
      (name) => `LoadCredential=cryptsetup.${name}`,
    ),
    "",
  ].join("\n"),
};

/**
 * No time in an initrd is later than that of 1980-01-01, the first that every format can hold. The image's own
 * time changes with each of its files, and would have the initrd built anew and sent with every update.
 */
export const initrdEpoch = 315_532_800;

/** Builds the initrd in the workspace; returns its path. */
export async function buildInitrd(context: BuildContext): Promise<string> {
  const { config, workspace, progress } = context;
  if (!hasDefaultInitrd(config))
    throw new ConfigError(`no initrd can be built for Distribution=${config.distribution}`, {
      code: "not-bootable",
      hint: "name one with Initrds=",
    });
  const folder = join(workspace, "initrd");
  await mkdir(folder);
  const own = initrdConfig(config, folder);
  const key = await initrdKey(context, own);
  const made = join(folder, outputNames(own).image ?? "");
  const kept = key === undefined ? undefined : join(cacheFolder(config), `initrd-${key}`);
  if (kept !== undefined && (await pathExists(kept))) {
    progress.log("info", "the initrd is the former build's: nothing that it is made of has changed");
    // Boot entries have the name: it is the same every time.
    await symlink(kept, made);
    return made;
  }
  const { cacheStore: location } = config;
  const shared =
    location === undefined || key === undefined ? undefined : { location, key, progress, signal: context.signal };
  if (shared !== undefined && kept !== undefined && (await fetchKept("file", made, shared)) !== undefined) {
    progress.log("info", "the initrd is the cache store's");
    await keepInitrd(made, kept);
    return made;
  }
  progress.log("info", "building the initrd");
  await context.buildImage(own, lockedInitrd(context.locked));
  if (kept !== undefined) await keepInitrd(made, kept);
  if (shared !== undefined) await keepShared("file", made, null, shared);
  return made;
}

/** What the initrd depends on; undefined when none is kept. */
async function initrdKey(context: BuildContext, own: ImageConfig): Promise<string | undefined> {
  if (context.config.incremental === "no") return undefined;
  const found = (await fingerprints(context))?.initrd;
  if (found === undefined) return undefined;
  const tools = toolsTreePath(context.config);
  const identity = tools === undefined ? [] : [await toolsIdentity(tools, context.signal)];
  return digestText(JSON.stringify([found, files, configDigest(own), ...identity]));
}

/** One is kept: the last. */
async function keepInitrd(made: string, kept: string): Promise<void> {
  await mkdir(dirname(kept), { recursive: true });
  for (const name of await readdir(dirname(kept)))
    if (name.startsWith("initrd-")) await rm(join(dirname(kept), name), { force: true });
  await makeAtomically(kept, async (temporary) => await copyFile(made, temporary));
}

/** The configuration of the default initrd of an image. */
export function initrdConfig(config: ImageConfig, outputDirectory: string): ImageConfig {
  return {
    ...config,
    ...auxiliaryImage,
    format: "cpio",
    output: "initrd",
    outputDirectory,
    // The kernel unpacks an archive in its memory: one that is not compressed takes twice its size. Not every kernel
    // has the older decompressors.
    compressOutput: config.compressOutput === "xz" || config.compressOutput === "gzip" ? config.compressOutput : "zstd",
    packages: initrdPackages(config),
    removePackages: initrdRemovedPackages(config),
    removeFiles: defaultInitrd(config).removeFiles,
    cleanPackageMetadata: true,
    extraTrees: [],
    makeInitrd: true,
    sourceDateEpoch: initrdEpoch,
    locale: config.locale ?? "C.UTF-8",
  };
}

/**
 * What the kernel starts in a tree that it unpacks into its memory; and, unless the tree is the whole system,
 * by what systemd knows that it is in an initrd (MakeInitrd=).
 */
export async function prepareAsInitrd(tree: string, isWhole: boolean): Promise<void> {
  const hasSystemd = (await readTreeFile(tree, "usr/lib/systemd/systemd")) !== undefined;
  if (hasSystemd && (await readTreeFile(tree, "init")) === undefined)
    await linkTreeFile(tree, "init", "/usr/lib/systemd/systemd");
  if (isWhole) return;
  if ((await readTreeFile(tree, "etc/initrd-release")) === undefined)
    await linkTreeFile(tree, "etc/initrd-release", "/etc/os-release");
  if (!hasSystemd) return;
  for (const [name, text] of Object.entries(files))
    if ((await readTreeFile(tree, name)) === undefined) await writeTreeFile(tree, name, text);
}
