/**
 * Whether the boot loader's partitions have room for what the boot entries will put there: known once the
 * kernels, their initrds and the stub are, before any partition is made.
 * @module
 */
import { stat } from "node:fs/promises";
import { ConfigError } from "@imgtool/core";
import { checkRoom, type DiskOptions, type ExpectedFile } from "@imgtool/disk";
import type { BuildContext } from "../context.ts";
import { hasBiosEntries, wantsModules } from "./entries.ts";
import type { Kernel } from "./kernels.ts";
import { packMicrocode } from "./microcode.ts";
import { packModules } from "./modules.ts";
import type { BootPlan } from "./plan.ts";

/** A kernel may lose so much with the signature that imgtool's takes the place of. */
const signatureRoom: number = 16 * 1024;

/**
 * @throws ConfigError `esp-full`: for what, and how many bytes are missing; what checkRoom throws
 */
export async function checkBootRoom(context: BuildContext, options: Omit<DiskOptions, "output">): Promise<void> {
  const { boot } = context;
  if (boot === undefined) return;
  const files = await expectedFiles(context, boot, hasBiosEntries(boot, options.definitions));
  try {
    await checkRoom(options, files);
  } catch (error) {
    if (!(error instanceof ConfigError) || error.code !== "filesystem-full") throw error;
    const largest = files.reduce((one, other) => (other.size > one.size ? other : one));
    throw new ConfigError(`${error.message}; ${largest.path} alone has at least ${largest.size} bytes`, {
      code: "esp-full",
      hint: "raise SizeMinBytes= and SizeMaxBytes= of the partition, or leave modules out with KernelInitrdModules=",
      data: { ...error.data, files },
      cause: error,
    });
  }
}

/** The files that writeEntries makes, with the least size of each: what is added to them is small. */
async function expectedFiles(context: BuildContext, plan: BootPlan, bios: boolean): Promise<ExpectedFile[]> {
  const { config, initrds } = context;
  const microcode = await packMicrocode(context);
  const files: ExpectedFile[] = [];
  for (const kernel of plan.kernels) {
    const { version, image } = kernel;
    const modules = wantsModules(config) ? [await packModules(context, kernel)] : [];
    const sizes = await Promise.all(
      [...(microcode === undefined ? [] : [microcode]), ...initrds, ...modules].map(sizeOf),
    );
    const isUnified = plan.stub !== undefined || plan.prebuilt;
    if (isUnified)
      files.push({
        path: plan.direct ?? `/boot/EFI/Linux/${version}.efi`,
        size: await unifiedSize(plan, kernel, sizes),
      });
    if (!isUnified || bios) {
      const folder = `/boot/${plan.token}/${version}`;
      files.push({ path: `${folder}/vmlinuz`, size: Math.max(0, (await sizeOf(image)) - signatureRoom) });
      for (const [index, size] of sizes.entries()) files.push({ path: `${folder}/${index}-initrd`, size });
    }
    // Firmware starts one program.
    if (plan.direct !== undefined) break;
  }
  return files;
}

async function unifiedSize(
  { stub }: BootPlan,
  { image, prebuilt }: Kernel,
  initrds: readonly number[],
): Promise<number> {
  if (stub === undefined) return prebuilt === undefined ? 0 : await sizeOf(prebuilt);
  return (await sizeOf(stub)) + (await sizeOf(image)) + initrds.reduce((sum, size) => sum + size, 0);
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path)).size;
}
