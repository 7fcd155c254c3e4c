/**
 * Writes what the boot loader offers: a unified kernel image for each kernel, or a boot entry of type 1
 * with its files. All of it goes into the tree's /boot or /efi, from where it is copied onto the ESP.
 * @module
 */
import { chmod } from "node:fs/promises";
import { basename } from "node:path";
import { formatBootEntry, signPeFile, ukiName, type GrubPlatform } from "@imgtool/boot";
import type { ImageConfig } from "@imgtool/config";
import { ConfigError, silentProgress } from "@imgtool/core";
import type { DiskPartition } from "@imgtool/disk";
import { resolveInTree } from "@imgtool/sandbox";
import type { BuildContext } from "../context.ts";
import { isWithinKernel } from "../formats.ts";
import { secureBootSigner } from "../signers.ts";
import { makeTreeFolder, readTreeFile, writeTreeFile } from "../tree-file.ts";
import { kernelCommandLine, rootHashOf } from "./command-line.ts";
import { addGrubEntry, isBiosBoot, rootOption } from "./grub.ts";
import type { Kernel } from "./kernels.ts";
import { placeFile } from "./place-file.ts";
import { packMicrocode } from "./microcode.ts";
import { packModules } from "./modules.ts";
import type { BootPlan } from "./plan.ts";
import { writeUnifiedImage } from "./unified.ts";

/**
 * Writes the entries of all kernels.
 * @param initrds paths on this machine
 * @param partitions of the disk, as far as they are known; none for other formats
 * @throws ConfigError `uki-name-invalid`; what writeUnifiedImage throws
 */
export async function writeEntries(
  context: BuildContext,
  plan: BootPlan,
  initrds: readonly string[],
  partitions: readonly DiskPartition[],
): Promise<void> {
  const { config, tree } = context;
  const microcode = await packMicrocode(context);
  const commandLine = await kernelCommandLine(config, tree, partitions);
  const bios = hasBiosEntries(plan, partitions);
  for (const kernel of plan.kernels) {
    const modules = wantsModules(config) ? [await packModules(context, kernel)] : [];
    const parts = { kernel, initrds: [...initrds, ...modules], microcode, commandLine, partitions };
    const isUnified = plan.stub !== undefined || plan.prebuilt;
    if (isUnified) await writeUnified(context, plan, parts);
    // GRUB starts no unified kernel images under BIOS.
    if (!isUnified || bios) await writeEntry(context, { ...plan, bios }, parts);
    // Firmware starts one program.
    if (plan.direct !== undefined) break;
  }
}

/** Whether GRUB starts kernels under BIOS: without a place on the disk it cannot be started itself. */
export function hasBiosEntries({ grub }: BootPlan, partitions: readonly { readonly type: string }[]): boolean {
  return grub.bios !== undefined && partitions.some(isBiosBoot);
}

/** Where the whole tree is in the kernel's memory, its modules are, too. */
export function wantsModules({ kernelModulesInitrd, format }: ImageConfig): boolean {
  return kernelModulesInitrd && !isWithinKernel(format);
}

interface EntryParts {
  readonly kernel: Kernel;
  readonly initrds: readonly string[];
  readonly microcode: string | undefined;
  readonly commandLine: string;
  readonly partitions: readonly DiskPartition[];
}

async function writeUnified(
  context: BuildContext,
  plan: BootPlan,
  { kernel, initrds, microcode, commandLine, partitions }: EntryParts,
): Promise<void> {
  const { config, tree } = context;
  const tries = (await readTreeFile(tree, "etc/kernel/tries"))?.trim();
  const name = ukiName(
    { token: plan.token, version: kernel.version, rootHash: rootHashOf(partitions)?.hash, tries },
    config.unifiedKernelImageFormat,
  );
  const path = plan.direct ?? `/boot/EFI/Linux/${name}.efi`;
  await makeTreeFolder(tree, path.replace(/\/[^/]*$/, ""), 0o700);
  const output = await resolveInTree(tree, path);
  // The newest comes first.
  if (output === context.unified)
    throw new ConfigError(`UnifiedKernelImageFormat= gives two kernels one name: ${name}`, {
      code: "uki-name-invalid",
      hint: "put the kernel's version into it, &k, or leave one kernel out with RemoveFiles=",
      data: { name, kernels: plan.kernels.map(({ version }) => version) },
    });
  context.unified ??= output;
  if (plan.grub.efi !== undefined)
    await addGrubEntry(context, plan.grub, {
      title: name,
      platforms: ["efi"],
      start: { kind: "efi", program: path.replace(/^\/boot/, "") },
    });
  if (plan.stub === undefined) await placePrebuilt(context, kernel, path);
  else await writeUnifiedImage(context, { stub: plan.stub, kernel, initrds, microcode, commandLine }, output);
}

/** Places the distribution's image as it is, with its signature. */
async function placePrebuilt({ config, tree, progress }: BuildContext, kernel: Kernel, path: string): Promise<void> {
  if (kernel.prebuilt === undefined) throw new RangeError(`no unified kernel image of ${kernel.version} was planned`);
  if (config.kernelCommandLine.length > 0)
    progress.log(
      "warning",
      `KernelCommandLine= is not in ${basename(kernel.prebuilt)}, which is the distribution's`,
      "without UnifiedKernelImages=signed and Bootloader=uki-signed imgtool makes the image",
    );
  const placed = await placeFile(kernel.prebuilt, tree, path.slice(1));
  await chmod(placed, 0o600);
}

/** The image of Format=uki, whose initrd is the whole tree. */
export async function writeUkiOutput(context: BuildContext, output: string): Promise<void> {
  const { boot, config, tree, initrds } = context;
  const [kernel] = boot?.kernels ?? [];
  if (boot?.stub === undefined || kernel === undefined) throw new RangeError("no kernel was planned");
  const microcode = await packMicrocode(context);
  const commandLine = await kernelCommandLine(config, tree, []);
  await writeUnifiedImage(context, { stub: boot.stub, kernel, initrds, microcode, commandLine }, output);
}

/** As the Boot Loader Specification has it: /TOKEN/VERSION/ for the files, one text for the entry; and GRUB's. */
async function writeEntry(
  context: BuildContext,
  { token, stub, prebuilt, signedLoader, grub, bios }: BootPlan & { readonly bios: boolean },
  { kernel, initrds, microcode, commandLine, partitions }: EntryParts,
): Promise<void> {
  const { config, tree, signal } = context;
  const folder = `/${token}/${kernel.version}`;
  const place = async (source: string, path: string): Promise<string> => {
    await placeFile(source, tree, `boot${path}`);
    return path;
  };
  const linux = await place(kernel.image, `${folder}/vmlinuz`);
  const signer = await secureBootSigner(config, silentProgress);
  // Distributions sign their kernels with keys that this machine's firmware need not know, but their loaders do.
  if (signer !== undefined && !signedLoader)
    await signPeFile(await resolveInTree(tree, `boot${linux}`), { signer, existing: "replace", signal });
  const placed: string[] = [];
  for (const [index, source] of [...(microcode === undefined ? [] : [microcode]), ...initrds].entries())
    placed.push(await place(source, `${folder}/${index}-${basename(source)}`));
  const devicetree =
    kernel.devicetree === undefined
      ? undefined
      : await place(kernel.devicetree, `${folder}/${basename(kernel.devicetree)}`);
  await writeTreeFile(
    tree,
    `boot/loader/entries/${token}-${kernel.version}.conf`,
    formatBootEntry({
      title: `${token} ${kernel.version}`,
      version: kernel.version,
      linux,
      initrds: placed,
      options: commandLine,
      devicetree,
    }),
    0o600,
  );
  const platforms: GrubPlatform[] = [
    ...(grub.efi !== undefined && stub === undefined && !prebuilt ? (["efi"] as const) : []),
    ...(bios ? (["pc"] as const) : []),
  ];
  if (platforms.length === 0) return;
  const options = commandLine.split(/\s+/).filter((option) => option !== "");
  await addGrubEntry(context, grub, {
    title: `${token}-${kernel.version}`,
    platforms,
    start: {
      kind: "linux",
      kernel: linux,
      initrds: placed,
      options: [...rootOption(options, partitions), ...options],
      devicetree,
    },
  });
}
