/**
 * Writes what the boot loader offers: a unified kernel image for each kernel, or a boot entry of type 1
 * with its files. All of it goes into the tree's /boot or /efi, from where it is copied onto the ESP.
 * @module
 */
import { chmod, readFile } from "node:fs/promises";
import { basename } from "node:path";
import { formatBootEntry, signPeFile, stubVersion, ukiName, writeUki } from "@imgtool/boot";
import { compareVersions } from "@imgtool/config";
import { ConfigError, formatSize, silentProgress } from "@imgtool/core";
import type { DiskPartition } from "@imgtool/disk";
import { resolveInTree } from "@imgtool/sandbox";
import type { BuildContext } from "../context.ts";
import { secureBootSigner } from "../signers.ts";
import { makeTreeFolder, readTreeFile, writeTreeFile } from "../tree-file.ts";
import { kernelCommandLine, rootHashOf } from "./command-line.ts";
import type { Kernel } from "./kernels.ts";
import { placeFile } from "./loader.ts";
import { packMicrocode } from "./microcode.ts";
import { packModules } from "./modules.ts";
import type { BootPlan } from "./plan.ts";

/**
 * Writes the entries of all kernels.
 * @param initrds paths on this machine
 * @param partitions of the disk, as far as they are known; none for other formats
 * @throws ConfigError `esp-full` for a unified kernel image that is larger than the ESP
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
  for (const kernel of plan.kernels) {
    const modules = config.kernelModulesInitrd ? [await packModules(context, kernel)] : [];
    const parts = { kernel, initrds: [...initrds, ...modules], microcode, commandLine, partitions };
    if (plan.stub === undefined) await writeEntry(context, plan, parts);
    else await writeUnified(context, { ...plan, stub: plan.stub }, parts);
    // Firmware starts one program.
    if (plan.direct !== undefined) break;
  }
}

interface EntryParts {
  readonly kernel: Kernel;
  readonly initrds: readonly string[];
  readonly microcode: string | undefined;
  readonly commandLine: string;
  readonly partitions: readonly DiskPartition[];
}

async function writeUnified(
  { config, tree, progress, signal }: BuildContext,
  plan: BootPlan & { readonly stub: string },
  { kernel, initrds, microcode, commandLine, partitions }: EntryParts,
): Promise<void> {
  const tries = (await readTreeFile(tree, "etc/kernel/tries"))?.trim();
  const name = ukiName(
    { token: plan.token, version: kernel.version, rootHash: rootHashOf(partitions)?.hash, tries },
    config.unifiedKernelImageFormat,
  );
  const path = plan.direct ?? `/boot/EFI/Linux/${name}.efi`;
  await makeTreeFolder(tree, path.replace(/\/[^/]*$/, ""), 0o700);
  const output = await resolveInTree(tree, path);
  using task = progress.start({ label: `write ${basename(path)}` });
  // Stubs that do not know the section .ucode have it as the first initrd.
  const version = stubVersion(await readFile(plan.stub));
  const apart = version !== undefined && compareVersions(version, "256") >= 0;
  const { size } = await writeUki({
    output,
    stub: plan.stub,
    linux: kernel.image,
    initrds: microcode === undefined || apart ? initrds : [microcode, ...initrds],
    osRelease: (await readTreeFile(tree, "usr/lib/os-release")) ?? (await readTreeFile(tree, "etc/os-release")) ?? "",
    commandLine,
    uname: kernel.version,
    ...(config.splash === undefined ? {} : { splash: config.splash }),
    ...(microcode !== undefined && apart ? { microcode } : {}),
    signal,
  });
  const signer = await secureBootSigner(config, silentProgress);
  if (signer !== undefined) await signPeFile(output, { signer, signal });
  await chmod(output, 0o600);
  task.done(formatSize(size));
  const esp =
    partitions.find(({ type }) => type === (plan.direct === undefined ? "xbootldr" : "esp")) ??
    partitions.find(({ type }) => type === "esp");
  if (esp !== undefined && size > esp.size)
    throw new ConfigError(
      `the unified kernel image has ${formatSize(size)}, ${formatSize(size - esp.size)} (${size - esp.size} bytes) more than the partition ${esp.label}`,
      {
        code: "esp-full",
        hint: "raise SizeMinBytes= and SizeMaxBytes= of the ESP, or leave modules out with KernelInitrdModules=",
        data: { size, available: esp.size, missing: size - esp.size },
      },
    );
}

/** As the Boot Loader Specification has it: /TOKEN/VERSION/ for the files, one text for the entry. */
async function writeEntry(
  { config, tree, signal }: BuildContext,
  { token }: BootPlan,
  { kernel, initrds, microcode, commandLine }: EntryParts,
): Promise<void> {
  const folder = `/${token}/${kernel.version}`;
  const place = async (source: string, path: string): Promise<string> => {
    await placeFile(source, tree, `boot${path}`);
    return path;
  };
  const linux = await place(kernel.image, `${folder}/vmlinuz`);
  const signer = await secureBootSigner(config, silentProgress);
  // Distributions sign their kernels with keys that this machine's firmware need not know.
  if (signer !== undefined)
    await signPeFile(await resolveInTree(tree, `boot${linux}`), { signer, existing: "replace", signal });
  const placed: string[] = [];
  for (const [index, source] of [...(microcode === undefined ? [] : [microcode]), ...initrds].entries())
    placed.push(await place(source, `${folder}/${index}-${basename(source)}`));
  await writeTreeFile(
    tree,
    `boot/loader/entries/${token}-${kernel.version}.conf`,
    formatBootEntry({
      title: `${token} ${kernel.version}`,
      version: kernel.version,
      linux,
      initrds: placed,
      options: commandLine,
    }),
    0o600,
  );
}
