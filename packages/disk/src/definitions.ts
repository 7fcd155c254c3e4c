/**
 * What a disk shall consist of: partition definitions as repart.d(5) has them, as an object.
 * @module
 */
import { ConfigError } from "@imgtool/core";

export interface CopyFiles {
  /** Absolute path within the tree. */
  readonly source: string;
  /** Absolute path within the file system. */
  readonly target: string;
}

/** A partition; sizes in bytes. Fields are those of the [Partition] section in camel case. */
export interface PartitionDefinition {
  /** Where it comes from, for messages: a file name. */
  readonly origin?: string;
  /** "root", "usr-verity", "esp", "root-arm64", or a UUID. */
  readonly type: string;
  /** Default: the type's name, numbered from the second of its kind on. */
  readonly label?: string;
  /** Default: derived from the seed. */
  readonly uuid?: string;
  /** Partitions of a higher number are left out first when there is not room for all. Default 0. */
  readonly priority?: number;
  /** Share of free space. Default 1000. */
  readonly weight?: number;
  /** Share of free space left after it. Default 0. */
  readonly paddingWeight?: number;
  readonly sizeMin?: number;
  readonly sizeMax?: number;
  readonly paddingMin?: number;
  readonly paddingMax?: number;
  /** "ext4", "squashfs", "erofs", or "empty" for a placeholder. */
  readonly format?: string;
  readonly copyFiles?: readonly CopyFiles[];
  readonly excludeFiles?: readonly string[];
  readonly makeDirectories?: readonly string[];
  readonly verity?: "off" | "data" | "hash";
  /** Joins a data and a hash partition. */
  readonly verityMatchKey?: string;
  /** Make the file system, and the partition, as small as it can be. */
  readonly minimize?: "off" | "guess" | "best";
  /** All attribute bits at once. */
  readonly flags?: bigint;
  readonly readOnly?: boolean;
  readonly noAuto?: boolean;
  readonly growFileSystem?: boolean;
  /** Name of the partition's own file when it is split off; "-" for none. Default: its label. */
  readonly splitName?: string;
}

// As mkosi: room for a few kernels.
const espSize = 512 * 1024 ** 2;

export interface DefaultLayoutOptions {
  /** Format of the root file system. */
  readonly format: string;
  /** Add a hash partition. */
  readonly verity?: boolean;
  /** Add an EFI system partition of 512 MiB with what the tree has in /boot and /efi. */
  readonly esp?: boolean;
}

/**
 * One root partition with the whole tree, with `verity` also its hash partition. It is as small as it can
 * be; of an image that boots, a writable one has room left, as with mkosi.
 */
export function defaultDefinitions(options: DefaultLayoutOptions): PartitionDefinition[] {
  const root: PartitionDefinition = {
    origin: "default layout",
    type: "root",
    format: options.format,
    copyFiles: [{ source: "/", target: "/" }],
    minimize: options.esp === true ? "guess" : "best",
  };
  const esp: PartitionDefinition = {
    origin: "default layout",
    type: "esp",
    format: "vfat",
    copyFiles: [
      { source: "/boot", target: "/" },
      { source: "/efi", target: "/" },
    ],
    sizeMin: espSize,
    sizeMax: espSize,
  };
  const before = options.esp === true ? [esp] : [];
  if (options.verity !== true) return [...before, root];
  return [
    ...before,
    { ...root, verity: "data", verityMatchKey: "root" },
    { origin: "default layout", type: "root-verity", verity: "hash", verityMatchKey: "root", minimize: "best" },
  ];
}

/** How messages name a definition. */
export function describeDefinition(definition: PartitionDefinition, index: number): string {
  return `partition ${index + 1} (${definition.type}${definition.origin === undefined ? "" : `, ${definition.origin}`})`;
}

/**
 * Checks what can be checked without the tree: that verity partitions come in pairs, sizes make sense.
 * @throws ConfigError `definition-invalid`
 */
export function checkDefinitions(definitions: readonly PartitionDefinition[]): void {
  if (definitions.length === 0)
    throw new ConfigError("a disk needs at least one partition definition", { code: "definition-invalid" });
  for (const [index, definition] of definitions.entries()) {
    const refuse = (message: string, hint?: string): never => {
      throw new ConfigError(`${describeDefinition(definition, index)}: ${message}`, {
        code: "definition-invalid",
        ...(hint === undefined ? {} : { hint }),
        data: { index, type: definition.type, origin: definition.origin },
      });
    };
    const { sizeMin, sizeMax, verity } = definition;
    if (sizeMin !== undefined && sizeMax !== undefined && sizeMin > sizeMax)
      refuse(`SizeMinBytes=${sizeMin} is larger than SizeMaxBytes=${sizeMax}`);
    if (definition.copyFiles !== undefined && definition.copyFiles.length > 0 && definition.format === undefined)
      refuse("CopyFiles= needs Format=");
    if (verity === "hash" && definition.format !== undefined) refuse("a hash partition has no Format=");
    if (verity === "data" && definition.format === undefined) refuse("Verity=data needs Format=");
    if (verity === "data" || verity === "hash") {
      if (definition.verityMatchKey === undefined) refuse(`Verity=${verity} needs VerityMatchKey=`);
      if (definition.uuid !== undefined) refuse("UUID= of a verity partition is made from the root hash");
      const other = verity === "data" ? "hash" : "data";
      const partners = definitions.filter(
        (candidate) => candidate.verity === other && candidate.verityMatchKey === definition.verityMatchKey,
      );
      if (partners.length !== 1)
        refuse(
          `expected one partition with Verity=${other} and VerityMatchKey=${definition.verityMatchKey ?? ""}, found ${partners.length}`,
          "define a data and a hash partition with the same VerityMatchKey=",
        );
    }
  }
}
