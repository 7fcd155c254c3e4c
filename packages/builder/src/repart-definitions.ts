/**
 * Partition definitions of a project: the files `*.conf` of mkosi.repart/, in the form of repart.d(5).
 * @module
 */
import type { ImageConfig } from "@imgtool/config";
import { ConfigError, type Progress } from "@imgtool/core";
import {
  checkCompression,
  defaultDefinitions,
  extensionDefinitions,
  readDefinitions,
  type PartitionDefinition,
} from "@imgtool/disk";
import { espSize } from "./boot/within-kernel.ts";
import { extensionForms, isExtension } from "./formats.ts";

export interface DefinitionsOptions {
  /** Bytes of the unified kernel image that Format=esp has. Default 0: not known yet. */
  readonly unifiedSize?: number;
  /** Warnings that are not repeated; those that are given are added. */
  readonly told?: Set<string>;
  /** Fields of the image's os-release(5), once it is there. */
  readonly osRelease?: ReadonlyMap<string, string>;
}

/**
 * The definitions of a configuration: its own files in the order of their names, else the default
 * layout, with an EFI system partition for an image that boots.
 * @throws ConfigError `definition-invalid`, of a file with its line; `compression-unsupported`
 */
export async function partitionDefinitions(
  config: ImageConfig,
  progress: Progress,
  boots: { readonly esp?: boolean; readonly bios?: boolean },
  { unifiedSize = 0, told = new Set(), osRelease }: DefinitionsOptions = {},
): Promise<readonly PartitionDefinition[]> {
  const { definitions, warnings } = await readDefinitions(config.repartDirectories, {
    expand: (value, field) => expand(value, field, config, osRelease),
  });
  for (const { message } of warnings) if (!told.has(message)) progress.log("warning", message);
  for (const { message } of warnings) told.add(message);
  for (const { origin = "", format, compression, compressionLevel } of definitions)
    if (format !== undefined && compression !== undefined)
      checkCompression(format, { algorithm: compression, level: compressionLevel }, origin);
  if (definitions.length === 0 && isExtension(config.format)) {
    // One that is signed later has the same partitions.
    const verity = config.verity === "defer" ? "signed" : config.verity;
    return extensionDefinitions({ ...extensionForms[config.format], verity: verity === "no" ? false : verity });
  }
  if (definitions.length === 0 && config.format === "esp") {
    const size = config.partitionSizes.esp ?? espSize(config, unifiedSize);
    return [
      { type: "esp", format: "vfat", copyFiles: [{ source: "/efi", target: "/" }], sizeMin: size, sizeMax: size },
    ];
  }
  if (definitions.length === 0) {
    const { root, esp, swap, home, srv } = config.partitionSizes;
    return defaultDefinitions({
      format: config.rootFilesystem,
      verity: config.verity === "signed" || config.verity === "defer" ? "signed" : config.verity === "hash",
      esp: boots.esp === true,
      bios: boots.bios === true,
      readOnly: config.readOnly,
      encrypt: config.encrypt,
      sectorSize: config.sectorSize,
      sizes: {
        ...(root === undefined ? {} : { root }),
        ...(esp === undefined ? {} : { esp }),
        ...(swap === undefined ? {} : { swap }),
        ...(home === undefined ? {} : { home }),
        ...(srv === undefined ? {} : { srv }),
      },
    });
  }
  // As mkosi: Verity=hash leaves signatures out, Verity=signed insists on them.
  if (config.verity === "hash") return definitions.filter(({ verity }) => verity !== "signature");
  if (config.verity === "signed" && !definitions.some(({ verity }) => verity === "signature"))
    throw new ConfigError("Verity=signed, and no partition definition has Verity=signature", {
      code: "definition-invalid",
      hint: "define a signature partition (Type=root-verity-sig), or use Verity=auto",
    });
  return definitions;
}

/** Specifiers of the machine that builds, which an image must not depend on. */
const ofTheMachine = new Set("bHlmqvTV");
/** Specifiers of the installed system, by their fields in os-release. */
const ofTheSystem: Readonly<Record<string, string>> = { B: "BUILD_ID", o: "ID", w: "VERSION_ID", W: "VARIANT_ID" };
/** SplitName= has specifiers of its own, known when the disk is laid out. */
const ofThePartition = new Set("tTUn%");

/**
 * systemd's specifiers that an image's build knows: %A, %M, %a, %%, and with the image's os-release %B, %o, %w, %W.
 * Before there is one, those stay as they are.
 */
function expand(
  value: string,
  field: string,
  config: Pick<ImageConfig, "imageId" | "imageVersion" | "architecture">,
  osRelease: ReadonlyMap<string, string> | undefined,
): string {
  const values: Readonly<Record<string, string | undefined>> = {
    A: config.imageVersion ?? "",
    M: config.imageId ?? "",
    a: config.architecture,
    "%": "%",
  };
  return value.replaceAll(/%(.?)/g, (specifier, letter: string) => {
    if (field === "SplitName" && ofThePartition.has(letter)) return specifier;
    const known = values[letter];
    if (known !== undefined) return known;
    if (ofTheMachine.has(letter)) throw new ConfigError(`${specifier} names the machine that builds, not the image`);
    const name = ofTheSystem[letter];
    if (name !== undefined) return osRelease === undefined ? specifier : (osRelease.get(name) ?? "");
    throw new ConfigError(`unknown specifier ${specifier}`);
  });
}
