/**
 * How the image boots: planned once its files are there, and written once its partitions are.
 * @module
 */
import { defaultBootPath } from "@imgtool/boot";
import { silentProgress } from "@imgtool/core";
import { keepAddonStub } from "../boot/addon.ts";
import { writeEntries } from "../boot/entries.ts";
import { makeGrubImages } from "../boot/grub.ts";
import { buildInitrd } from "../boot/initrd.ts";
import { findKernels, kernelPackage, placeKernels } from "../boot/kernels.ts";
import { installLoader } from "../boot/loader.ts";
import { findMissingHalf } from "../boot/lone-kernel.ts";
import { planBoot } from "../boot/plan.ts";
import { keepApart, packTreeAsInitrd } from "../boot/within-kernel.ts";
import type { BuildContext } from "../context.ts";
import { isWithinKernel } from "../formats.ts";
import { secureBootSigner } from "../signers.ts";
import { clampTimes } from "./clamp-times.ts";

/** After this step it is known what the image lacks to boot: long before anything is packed. */
export async function planTheBoot(context: BuildContext): Promise<void> {
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

/** Takes the initrds of Initrds=, or makes the one that the image's format asks for. */
export async function makeInitrds(context: BuildContext): Promise<void> {
  if (context.boot === undefined) return;
  // The distribution's images have theirs.
  if (context.boot.prebuilt && context.boot.grub.bios === undefined) return;
  if (isWithinKernel(context.config.format)) context.initrds = [await packTreeAsInitrd(context)];
  else context.initrds = context.config.initrds.length > 0 ? context.config.initrds : [await buildInitrd(context)];
}

/** Puts boot entries and what they start into the tree. */
export async function writeBootEntries(context: BuildContext): Promise<void> {
  const { boot, tree, config, disk, initrds, signal } = context;
  // The one of Format=uki is the output itself.
  if (boot === undefined || config.format === "uki") return;
  await writeEntries(context, boot, initrds, disk?.partitions ?? []);
  // What a disk gets is clamped on the way; the tree beside it is not.
  if (disk === undefined || config.splitArtifacts.includes("tar"))
    await clampTimes(tree, config.sourceDateEpoch, signal);
}
