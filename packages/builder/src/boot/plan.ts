/**
 * Whether and how an image boots: what the settings ask for, and what the tree has for it.
 * @module
 */
import { defaultBootPath, efiArchitecture } from "@imgtool/boot";
import type { ImageConfig } from "@imgtool/config";
import { ConfigError, NotFoundError } from "@imgtool/core";
import { pathExists } from "@imgtool/host";
import { isWithinKernel } from "../formats.ts";
import { resolveInTree } from "@imgtool/sandbox";
import { readTreeFile } from "../tree-file.ts";
import { findShim, type ShimPlan } from "./shim.ts";
import { findGrub, type GrubPlan } from "./grub.ts";
import { findKernels, kernelPackage, type Kernel } from "./kernels.ts";
import { findMissingHalf } from "./lone-kernel.ts";

export interface BootPlan {
  /** EFI's name of the architecture. */
  readonly efi: string;
  /** At least one, newest first. */
  readonly kernels: readonly Kernel[];
  /** What all boot entries of the image begin with. */
  readonly token: string;
  /** systemd-boot on this machine, when it shall be installed. */
  readonly loader: string | undefined;
  /** Whether the loader has the distribution's signature, which stays. */
  readonly signedLoader: boolean;
  /** systemd-stub on this machine, when kernels become unified kernel images. */
  readonly stub: string | undefined;
  /** Whether unified kernel images are those of the distribution. */
  readonly prebuilt: boolean;
  /** Shim, when it comes before the boot loader or the unified kernel image. */
  readonly shim: ShimPlan | undefined;
  readonly grub: GrubPlan;
  /** Where the only unified kernel image goes that firmware starts by itself: a path in the tree. */
  readonly direct: string | undefined;
}

/** Formats that a kernel, an initrd and a boot loader can be in. */
const bootableFormats: ReadonlySet<ImageConfig["format"]> = new Set(["disk", "uki", "esp", "directory", "tar"]);

/**
 * Refuses what can never boot, before anything is done.
 * @throws ConfigError `not-bootable`
 */
export function checkBootable(config: ImageConfig): void {
  const isWithin = isWithinKernel(config.format);
  const isProgram = isWithin || config.format === "addon";
  if (config.bootable !== "enabled" && !isProgram) return;
  const setting = isProgram ? `Format=${config.format}` : "Bootable=yes";
  if (config.bootable === "enabled" && !bootableFormats.has(config.format))
    throw new ConfigError(`Bootable=yes: an image of Format=${config.format} does not boot by itself`, {
      code: "not-bootable",
      hint: `use Format=disk, or set Bootable=no`,
      data: { format: config.format },
    });
  if (efiArchitecture(config.architecture) === undefined)
    throw new ConfigError(`${setting}: there is no UEFI on ${config.architecture}`, {
      code: "not-bootable",
      hint: "set Bootable=no",
      data: { architecture: config.architecture },
    });
  const { sectorSize = 512 } = config;
  if (config.biosBootloader === "grub" && config.format === "disk" && sectorSize !== 512)
    throw new ConfigError(`BiosBootloader=grub: a BIOS reads sectors of 512 bytes, not of ${sectorSize}`, {
      code: "not-bootable",
      hint: "leave SectorSize= out",
      data: { sectorSize },
    });
  if (config.distribution === "custom" && config.initrds.length === 0 && !isProgram && !wantsPrebuilt(config))
    throw new ConfigError("Bootable=yes: no initrd can be built for Distribution=custom", {
      code: "not-bootable",
      hint: "name one with Initrds=",
    });
}

/** Whether the distribution's unified kernel images are asked for. */
function wantsPrebuilt({ bootloader, signedBootloader, unifiedKernelImages, format }: ImageConfig): boolean {
  if (isWithinKernel(format) || bootloader === "none") return false;
  return bootloader === "uki" ? signedBootloader : unifiedKernelImages === "signed";
}

/**
 * The plan for a tree with all its packages; undefined for an image that shall not boot, or, with
 * Bootable=auto, cannot.
 * @throws NotFoundError `kernel-missing`, `boot-loader-missing`, `stub-missing` with the package to add
 */
export async function planBoot(config: ImageConfig, tree: string): Promise<BootPlan | undefined> {
  const { bootable, bootloader, unifiedKernelImages } = config;
  const efi = efiArchitecture(config.architecture);
  const isWithin = isWithinKernel(config.format);
  const required = bootable === "enabled" || isWithin;
  if ((bootable === "disabled" && !isWithin) || efi === undefined) return undefined;
  const none = bootloader === "none" && config.biosBootloader === "none";
  if (!required && (config.format !== "disk" || none)) return undefined;
  const missing = (code: string, what: string, name: string): undefined => {
    if (!required) return undefined;
    throw new NotFoundError(`${isWithin ? `Format=${config.format}` : "Bootable=yes"}: ${what}`, {
      code,
      hint: `add ${name} to Packages=`,
      data: { package: name, tree },
    });
  };

  const kernels = await findKernels(tree, config.devicetree);
  const half = kernels.length === 0 && required ? await findMissingHalf(tree, kernelPackage(config)) : undefined;
  if (half !== undefined)
    throw new NotFoundError(`${isWithin ? `Format=${config.format}` : "Bootable=yes"}: ${half.message}`, {
      code: "kernel-missing",
      hint: half.hint,
      data: { ...half.data, tree },
    });
  if (kernels.length === 0)
    return missing("kernel-missing", "the image has no kernel in /usr/lib/modules", kernelPackage(config));
  const prebuilt = wantsPrebuilt(config);
  const bare = prebuilt ? kernels.find((kernel) => kernel.prebuilt === undefined) : undefined;
  if (bare !== undefined)
    return missing(
      "uki-missing",
      `the kernel ${bare.version} has no unified kernel image of the distribution's in /usr/lib/modules/${bare.version}`,
      "the package that has it",
    );

  const folder = "/usr/lib/systemd/boot/efi";
  const find = async (name: string): Promise<string | undefined> => {
    const path = await resolveInTree(tree, `${folder}/${name}`, { followLast: true });
    return (await pathExists(path)) ? path : undefined;
  };
  const signed = config.signedBootloader;
  const grub = await findGrub(config, tree);
  const lacksGrub = (target: string): undefined =>
    missing(
      "boot-loader-missing",
      `the image has no ${target === "UEFI" && signed ? "signed " : ""}GRUB for ${target}`,
      target === "UEFI" && signed ? signedPackage(config, "grub") : grubPackage(config, target),
    );
  const wantsBios = config.biosBootloader === "grub" && config.format === "disk";
  if (wantsBios && grub.bios === undefined && (required || bootloader === "none")) return lacksGrub("BIOS");
  const wantsGrub = bootloader === "grub" && !isWithin;
  if (wantsGrub && grub.efi === undefined && (required || grub.bios === undefined)) return lacksGrub("UEFI");

  const wantsLoader = bootloader === "systemd-boot" && !isWithin;
  const unsignedName = `systemd-boot${efi}.efi`;
  const loaderName = signed ? `${unsignedName}.signed` : unsignedName;
  // Debian 13 installs the signed one alone unless its package of the other is named: without keys it does as well.
  const either = signed || config.secureBoot ? [loaderName] : [unsignedName, `${unsignedName}.signed`];
  let loader: string | undefined;
  if (wantsLoader) for (const name of either) loader ??= await find(name);
  if (wantsLoader && loader === undefined && (required || grub.bios === undefined))
    return missing(
      "boot-loader-missing",
      `the image has no ${folder}/${loaderName}`,
      signed ? signedPackage(config, "systemd-boot") : systemdBootPackage(config),
    );

  const wantsShim = config.shimBootloader !== "none" && bootloader !== "none" && !isWithin;
  const shim = wantsShim ? await findShim(config, tree, efi) : undefined;
  if (wantsShim && shim === undefined) {
    const { shimBootloader } = config;
    return missing(
      "boot-loader-missing",
      `the image has no ${shimBootloader} shim with its MokManager`,
      `shim-${shimBootloader}`,
    );
  }

  const stub = await find(`linux${efi}.efi.stub`);
  const isAlone = bootloader === "uki" || isWithin;
  const needed = (isAlone || unifiedKernelImages === "enabled") && !prebuilt;
  if (needed && stub === undefined)
    return missing("stub-missing", `the image has no ${folder}/linux${efi}.efi.stub`, systemdBootPackage(config));
  // Where the distribution's keys are those that count, an image that nobody has signed does not start: its kernel does.
  const isOthers = signed && !config.secureBoot && !isWithin;
  const unified = needed || (unifiedKernelImages === "auto" && bootloader !== "none" && !prebuilt && !isOthers);
  return {
    efi,
    kernels,
    token: await entryToken(config, tree),
    loader,
    signedLoader: signed,
    stub: unified ? stub : undefined,
    prebuilt,
    shim,
    grub,
    direct: isAlone ? `/efi${shim?.secondStage ?? defaultBootPath(efi)}` : undefined,
  };
}

function grubPackage({ distribution, architecture }: ImageConfig, target: string): string {
  const arch = architecture === "x86-64" ? "amd64" : architecture === "x86" ? "ia32" : architecture;
  if (distribution === "debian" || distribution === "ubuntu" || distribution === "kali")
    return target === "BIOS" ? "grub-pc-bin" : `grub-efi-${arch}-bin`;
  if (distribution === "arch") return "grub";
  return target === "BIOS" ? "grub2-pc-modules" : "grub2-efi-x64-modules";
}

/** The package with systemd-boot and systemd-stub, which nobody has signed. */
function systemdBootPackage({ distribution }: ImageConfig): string {
  return distribution === "debian" || distribution === "ubuntu" || distribution === "kali"
    ? "systemd-boot-efi"
    : "systemd-boot";
}

/** The package with a boot loader that the distribution has signed. */
function signedPackage({ distribution, architecture }: ImageConfig, loader: "grub" | "systemd-boot"): string {
  const arch = architecture === "x86-64" ? "amd64" : architecture === "x86" ? "ia32" : architecture;
  if (distribution === "debian" || distribution === "ubuntu" || distribution === "kali")
    return loader === "grub" ? `grub-efi-${arch}-signed` : `systemd-boot-efi-${arch}-signed`;
  return loader === "grub" ? "grub2-efi-x64" : "the package that has it";
}

/** As kernel-install(8) chooses it for an image that has no machine id. */
async function entryToken(config: ImageConfig, tree: string): Promise<string> {
  const own = (await readTreeFile(tree, "etc/kernel/entry-token"))?.trim();
  return own === undefined || own === "" ? (config.imageId ?? config.distribution) : own;
}
