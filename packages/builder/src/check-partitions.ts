/**
 * Whether partition definitions can become the disk of a configuration.
 * @module
 */
import type { ImageConfig } from "@imgtool/config";
import { ConfigError } from "@imgtool/core";
import { checkDefinitions, checkSplitNames, findPartitionType, type PartitionDefinition } from "@imgtool/disk";
import { isBiosBoot } from "./boot/grub.ts";

/** What goes onto these partitions names the root hash of others. */
const bootPartitions: readonly string[] = ["esp", "xbootldr"];

/** Types of the partitions that are made last, by designator, of an image that boots or does not. */
export function lastPartitions(boots: boolean): readonly string[] {
  return boots ? bootPartitions : [];
}

/**
 * Checks the definitions by themselves, and that an image which must boot has the partitions for it.
 * @throws ConfigError `definition-invalid`, `partition-type-unknown`, `label-too-long`, `filesystem-unknown`,
 *   `not-bootable`
 */
export function checkPartitions(config: ImageConfig, definitions: readonly PartitionDefinition[]): void {
  const { architecture, seed, sectorSize } = config;
  checkDefinitions(definitions, { architecture, seed, sectorSize });
  if (config.splitArtifacts.includes("partitions")) checkSplitNames(definitions, { architecture, seed });
  if (config.bootable !== "enabled" || config.format !== "disk") return;
  const types = definitions.map(({ type }) => findPartitionType(type, architecture).designator);
  if (config.biosBootloader === "grub") checkBiosBoot(definitions, types);
  else checkEsp(config, definitions, types);
  checkGrubKernels(config, types);
}

/** GRUB has its core image in one partition, its configuration and what it starts in the other. */
function checkBiosBoot(definitions: readonly PartitionDefinition[], types: readonly (string | undefined)[]): void {
  const missing = definitions.some(isBiosBoot)
    ? types.includes("esp")
      ? undefined
      : "Type=esp"
    : "Type=21686148-6449-6e6f-744e-656564454649, SizeMinBytes=1M and SizeMaxBytes=1M";
  if (missing === undefined) return;
  throw new ConfigError("BiosBootloader=grub: the partition definitions have no place for it", {
    code: "definition-invalid",
    hint: `define a partition with ${missing}`,
  });
}

/** Firmware starts what is on the EFI system partition; without a boot loader the project brings what boots itself. */
function checkEsp(
  config: ImageConfig,
  definitions: readonly PartitionDefinition[],
  types: readonly (string | undefined)[],
): void {
  if (types.includes("esp") || definitions.some(isBiosBoot) || config.bootloader === "none") return;
  throw new ConfigError("Bootable=yes: the partition definitions have no EFI system partition", {
    code: "not-bootable",
    hint: "define a partition with Type=esp, Format=vfat, CopyFiles=/boot:/, CopyFiles=/efi:/ and SizeMinBytes=512M, or set Bootable=no",
    data: { types: definitions.map(({ type }) => type) },
  });
}

/** GRUB looks for kernels where its configuration is. */
function checkGrubKernels(config: ImageConfig, types: readonly (string | undefined)[]): void {
  if (config.biosBootloader !== "grub" && config.bootloader !== "grub") return;
  if (!types.includes("xbootldr")) return;
  throw new ConfigError("GRUB finds no kernels on a partition of Type=xbootldr", {
    code: "definition-invalid",
    hint: "leave the partition out, and put CopyFiles=/boot:/ into the definition of the ESP",
  });
}
