/**
 * Whether and how an image boots: what the settings ask for, and what the tree has for it.
 * @module
 */
import { defaultBootPath, efiArchitecture } from "@imgtool/boot";
import type { ImageConfig } from "@imgtool/config";
import { ConfigError, NotFoundError } from "@imgtool/core";
import { pathExists } from "@imgtool/host";
import { resolveInTree } from "@imgtool/sandbox";
import { readTreeFile } from "../tree-file.ts";
import { findKernels, type Kernel } from "./kernels.ts";

export interface BootPlan {
  /** EFI's name of the architecture. */
  readonly efi: string;
  /** At least one, newest first. */
  readonly kernels: readonly Kernel[];
  /** What all boot entries of the image begin with. */
  readonly token: string;
  /** systemd-boot on this machine, when it shall be installed. */
  readonly loader: string | undefined;
  /** systemd-stub on this machine, when kernels become unified kernel images. */
  readonly stub: string | undefined;
  /** Where the only unified kernel image goes that firmware starts by itself: a path in the tree. */
  readonly direct: string | undefined;
}

/** Formats that a kernel, an initrd and a boot loader can be in. */
const bootableFormats: ReadonlySet<ImageConfig["format"]> = new Set(["disk", "esp", "directory", "tar"]);

/**
 * Refuses what can never boot, before anything is done.
 * @throws ConfigError `not-bootable`
 */
export function checkBootable(config: ImageConfig): void {
  if (config.bootable !== "enabled") return;
  if (!bootableFormats.has(config.format))
    throw new ConfigError(`Bootable=yes: an image of Format=${config.format} does not boot by itself`, {
      code: "not-bootable",
      hint: `use Format=disk, or set Bootable=no`,
      data: { format: config.format },
    });
  if (efiArchitecture(config.architecture) === undefined)
    throw new ConfigError(`Bootable=yes: there is no UEFI on ${config.architecture}`, {
      code: "not-bootable",
      hint: "set Bootable=no",
      data: { architecture: config.architecture },
    });
  if (config.distribution === "custom" && config.initrds.length === 0)
    throw new ConfigError("Bootable=yes: no initrd can be built for Distribution=custom", {
      code: "not-bootable",
      hint: "name one with Initrds=",
    });
}

/**
 * The plan for a tree with all its packages; undefined for an image that shall not boot, or, with
 * Bootable=auto, cannot.
 * @throws NotFoundError `kernel-missing`, `boot-loader-missing`, `stub-missing` with the package to add
 */
export async function planBoot(config: ImageConfig, tree: string): Promise<BootPlan | undefined> {
  const { bootable, bootloader, unifiedKernelImages } = config;
  const efi = efiArchitecture(config.architecture);
  const required = bootable === "enabled";
  if (bootable === "disabled" || efi === undefined) return undefined;
  if (!required && ((config.format !== "disk" && config.format !== "esp") || bootloader === "none")) return undefined;
  const missing = (code: string, what: string, name: string): undefined => {
    if (!required) return undefined;
    throw new NotFoundError(`Bootable=yes: ${what}`, {
      code,
      hint: `add ${name} to Packages=`,
      data: { package: name, tree },
    });
  };

  const kernels = await findKernels(tree);
  if (kernels.length === 0)
    return missing("kernel-missing", "the image has no kernel in /usr/lib/modules", kernelPackage(config));

  const folder = "/usr/lib/systemd/boot/efi";
  const find = async (name: string): Promise<string | undefined> => {
    const path = await resolveInTree(tree, `${folder}/${name}`, { followLast: true });
    return (await pathExists(path)) ? path : undefined;
  };
  const loader = bootloader === "systemd-boot" ? await find(`systemd-boot${efi}.efi`) : undefined;
  if (bootloader === "systemd-boot" && loader === undefined)
    return missing("boot-loader-missing", `the image has no ${folder}/systemd-boot${efi}.efi`, "systemd-boot");

  const stub = await find(`linux${efi}.efi.stub`);
  const needed = bootloader === "uki" || unifiedKernelImages === "enabled";
  if (needed && stub === undefined)
    return missing("stub-missing", `the image has no ${folder}/linux${efi}.efi.stub`, "systemd-boot");
  const unified = needed || unifiedKernelImages === "auto";
  return {
    efi,
    kernels,
    token: await entryToken(config, tree),
    loader,
    stub: unified ? stub : undefined,
    direct: bootloader === "uki" ? `/efi${defaultBootPath(efi)}` : undefined,
  };
}

/** As kernel-install(8) chooses it for an image that has no machine id. */
async function entryToken(config: ImageConfig, tree: string): Promise<string> {
  const own = (await readTreeFile(tree, "etc/kernel/entry-token"))?.trim();
  return own === undefined || own === "" ? (config.imageId ?? config.distribution) : own;
}

function kernelPackage({ distribution, architecture }: ImageConfig): string {
  if (distribution === "ubuntu") return "linux-image-generic";
  const names: Readonly<Record<string, string>> = { "x86-64": "amd64", x86: "686", arm64: "arm64", arm: "armmp" };
  return distribution === "debian" ? `linux-image-${names[architecture] ?? architecture}` : "a kernel";
}
