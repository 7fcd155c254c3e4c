/**
 * The part of [Content] that is about booting: loaders, kernels, initrds.
 * @module
 */
import { boolean, choice, feature, featureOf, featureOr, fileName, texts } from "../kinds.ts";
import { paths } from "../path-kinds.ts";
import { rowsOf } from "../setting.ts";
import type { SettingDefinition } from "../setting.ts";

const row = rowsOf("Content");
const bootloaders = ["none", "uki", "systemd-boot", "grub", "uki-signed", "systemd-boot-signed", "grub-signed"];
const modules = (name: string, help: string): SettingDefinition =>
  row(name, texts("patterns of kernel modules"), help, { supported: true, option: { argument: "REGEX" } });

export const bootSettings: readonly SettingDefinition[] = [
  row("Bootable", feature, "Make the image bootable: yes, no or auto", {
    supported: true,
    match: (text, value) => featureOf(text) === value,
    option: { short: "b", argument: "FEATURE", optional: true },
  }),
  row("Bootloader", choice(bootloaders), "UEFI boot loader", { supported: true, default: "systemd-boot" }),
  row("BiosBootloader", choice(["none", "grub"]), "BIOS boot loader", { supported: true, default: "none" }),
  row("ShimBootloader", choice(["none", "signed", "unsigned"]), "Shim before the boot loader", {
    supported: true,
    default: "none",
  }),
  row("UnifiedKernelImages", featureOr("none", "unsigned", "signed"), "Join kernel and initrd into one file", {
    supported: true,
    option: { argument: "FEATURE" },
  }),
  row("UnifiedKernelImageFormat", fileName("it is a name, without folders"), "Name of unified kernel images", {
    supported: true,
  }),
  row("UnifiedKernelImageProfiles", paths(), "Files with further command lines of unified kernel images", {
    supported: true,
    folders: [{ path: "mkosi.uki-profiles", suffix: ".conf" }],
    option: { long: "uki-profile", argument: "PATH" },
  }),
  row("Initrds", paths({ required: false }), "Initrds to use instead of building one", {
    supported: true,
    option: { long: "initrd", argument: "PATH" },
  }),
  row("InitrdProfiles", texts("profile names"), "Profiles of the default initrd", {
    option: { long: "initrd-profile", argument: "NAME" },
  }),
  row("InitrdPackages", texts("packages"), "Further packages of the default initrd", {
    supported: true,
    option: { long: "initrd-package", argument: "PACKAGE" },
  }),
  row("InitrdVolatilePackages", texts("packages"), "Further packages of the default initrd, always the newest", {
    supported: true,
    option: { long: "initrd-volatile-package", argument: "PACKAGE" },
  }),
  row("MicrocodeHost", boolean, "Put only this machine's microcode into the initrd", {
    option: { argument: "BOOL", optional: true },
  }),
  row("KernelCommandLine", texts("options", { separator: " " }), "Kernel command line", {
    supported: true,
    option: { argument: "OPTIONS" },
  }),
  modules("KernelModules", "Kernel modules to keep in the image"),
  modules("KernelModulesInclude", "Kernel modules to keep in the image, as older versions name it"),
  row("KernelModulesIncludeHost", boolean, "Keep the kernel modules that this machine has loaded"),
  modules("KernelModulesExclude", "Kernel modules to leave out of the image"),
  row("KernelModulesInitrd", boolean, "Make an initrd with kernel modules for each kernel", {
    supported: true,
    default: true,
    option: { argument: "BOOL", optional: true },
  }),
  modules("KernelInitrdModules", "Kernel modules of the initrd"),
  modules("KernelModulesInitrdInclude", "Kernel modules of the initrd, as older versions name it"),
  row("KernelModulesInitrdIncludeHost", boolean, "Put the kernel modules that this machine has loaded into the initrd"),
  modules("KernelModulesInitrdExclude", "Kernel modules to leave out of the initrd"),
  row("FirmwareFiles", texts("patterns"), "Firmware files to keep besides those that the image's kernel modules need", {
    supported: true,
    option: { argument: "GLOB" },
  }),
];
