/**
 * Format=uki and Format=esp: a whole system in one unified kernel image. The kernel unpacks the tree into
 * its memory and starts it there; there is no disk to find.
 * @module
 */
import { copyFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ImageConfig } from "@imgtool/config";
import type { BuildContext } from "../context.ts";
import { compressFile } from "../steps/compress.ts";
import { packCpio } from "../steps/pack-cpio.ts";
import type { BootPlan } from "./plan.ts";

/** Copies kernel, device tree and stub out of the tree: RemoveFiles= may take them from what is unpacked at the boot. */
export async function keepApart(plan: BootPlan, workspace: string): Promise<BootPlan> {
  const [kernel] = plan.kernels;
  if (kernel === undefined || plan.stub === undefined) return plan;
  const [image, stub] = [join(workspace, "linux"), join(workspace, "stub")];
  await copyFile(kernel.image, image);
  await copyFile(plan.stub, stub);
  const devicetree = join(workspace, "devicetree");
  if (kernel.devicetree !== undefined) await copyFile(kernel.devicetree, devicetree);
  const kept = { ...kernel, image, ...(kernel.devicetree === undefined ? {} : { devicetree }) };
  return { ...plan, kernels: [kept], stub };
}

/** The finished tree as an initrd, compressed as CompressOutput= says; returns its path. */
export async function packTreeAsInitrd(context: BuildContext): Promise<string> {
  const { config, workspace, progress, signal } = context;
  const plain = join(workspace, "whole.cpio");
  await packCpio({ ...context, output: plain });
  if (config.compressOutput === "none") return plain;
  const target = join(workspace, "whole.initrd");
  const { compressOutput: compression, compressLevel: level } = config;
  await compressFile({ source: plain, target, compression, level, forKernel: true, progress, signal });
  return target;
}

/** Bytes that the unified kernel image will have, and some more for its headers and texts. */
export async function unifiedSize({ boot, initrds }: BuildContext): Promise<number> {
  const kernels = (boot?.kernels ?? []).map(({ image }) => image);
  let size = 1024 ** 2;
  for (const file of [...initrds, ...kernels, ...(boot?.stub === undefined ? [] : [boot.stub])])
    size += (await stat(file)).size;
  return size;
}

/** What the file system of the ESP takes beside the image. */
const fileSystemSize: number = 10 * 1024 ** 2;

/**
 * Bytes of an ESP that has the unified kernel image alone, at least so many that OVMF takes its FAT for
 * FAT32: mkosi's sizes.
 */
export function espSize({ sectorSize = 512 }: Pick<ImageConfig, "sectorSize">, unified: number): number {
  const least = (sectorSize === 512 ? 36 : 260) * 1024 ** 2;
  return Math.ceil(Math.max(unified + fileSystemSize, least) / 1024 ** 2) * 1024 ** 2;
}
