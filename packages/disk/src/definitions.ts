/**
 * What a disk shall consist of: partition definitions as repart.d(5) has them, as an object.
 * @module
 */
import type { Signer } from "@imgtool/cms";
import { ConfigError } from "@imgtool/core";

export interface CopyFiles {
  /** Absolute path within the tree. */
  readonly source: string;
  /** Absolute path within the file system. */
  readonly target: string;
}

export interface MakeSymlink {
  /** Absolute path of the link within the file system. */
  readonly path: string;
  /** What it points to, as it is. */
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
  /** Name of a file system, "swap", or "empty" for a placeholder. Default where there are files: see `formatOf`. */
  readonly format?: string;
  /** Label of the file system. Default: the partition's. */
  readonly volumeLabel?: string;
  /** Absolute path within the tree of a file that becomes the content. */
  readonly copyBlocks?: string;
  readonly copyFiles?: readonly CopyFiles[];
  /** Absolute paths within the tree. */
  readonly excludeFiles?: readonly string[];
  /** Absolute paths within the file system that nothing is copied to. */
  readonly excludeFilesTarget?: readonly string[];
  readonly makeSymlinks?: readonly MakeSymlink[];
  readonly makeDirectories?: readonly string[];
  readonly verity?: "off" | "data" | "hash" | "signature";
  /** Joins a data, a hash and a signature partition. */
  readonly verityMatchKey?: string;
  /** Make the file system, and the partition, as small as it can be. */
  readonly minimize?: "off" | "guess" | "best";
  /** All attribute bits at once. */
  readonly flags?: bigint;
  readonly readOnly?: boolean;
  readonly noAuto?: boolean;
  readonly growFileSystem?: boolean;
  /** Name, without ".conf", of the definition that this one is joined with. */
  readonly supplementFor?: string;
  /** Name of the partition's own file when it is split off, "-" for none; specifiers %t, %T, %U, %n. Default: %t, the type. */
  readonly splitName?: string;
}

// As mkosi: room for a few kernels.
const espSize = 512 * 1024 ** 2;

export interface DefaultLayoutOptions {
  /** Format of the root file system. */
  readonly format: string;
  /** Add a hash partition; with "signed" also a signature partition. */
  readonly verity?: boolean | "signed";
  /** Add an EFI system partition of 512 MiB with what the tree has in /boot and /efi. */
  readonly esp?: boolean;
}

/**
 * One root partition with the whole tree, with `verity` also what verifies it. It is as small as it can be;
 * of an image that boots, a writable one has room left, as with mkosi.
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
  if (options.verity === undefined || options.verity === false) return [...before, root];
  const common = { origin: "default layout", verityMatchKey: "root" };
  const layout: PartitionDefinition[] = [
    ...before,
    { ...root, verity: "data", verityMatchKey: "root" },
    { ...common, type: "root-verity", verity: "hash", minimize: "best" },
  ];
  if (options.verity === "signed") layout.push({ ...common, type: "root-verity-sig", verity: "signature" });
  return layout;
}

/** The format of a definition: Format=, or else what systemd-repart takes where there is something to put in. */
export function formatOf(definition: PartitionDefinition): string | undefined {
  const { format, copyFiles = [], makeDirectories = [], makeSymlinks = [] } = definition;
  if (format !== undefined || copyFiles.length + makeDirectories.length + makeSymlinks.length === 0) return format;
  return /^(?:esp|xbootldr|c12a7328-?f81f-?11d2-?ba4b-?00a0c93ec93b|bc13c2ff-?59e6-?4262-?a352-?b275fd6f7172)$/i.test(
    definition.type,
  )
    ? "vfat"
    : "ext4";
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
    const format = formatOf(definition);
    const files = (["copyFiles", "makeDirectories", "makeSymlinks"] as const).find(
      (field) => (definition[field] ?? []).length > 0,
    );
    if (files !== undefined && (format === "empty" || format === "swap"))
      refuse(`${fieldName(files)}= has no place in Format=${format}`);
    if (definition.copyBlocks !== undefined && format !== undefined)
      refuse("CopyBlocks= cannot be combined with Format= or with files", "choose one of them");
    if (definition.minimize !== undefined && definition.minimize !== "off" && format === "swap")
      refuse("Minimize= has no meaning for swap space", "set SizeMinBytes= and SizeMaxBytes=");
    if ((verity === "hash" || verity === "signature") && (format !== undefined || definition.copyBlocks !== undefined))
      refuse(`a ${verity} partition has no Format=, CopyFiles= or CopyBlocks=`);
    if (verity === "data" && definition.copyBlocks === undefined && (format === undefined || format === "empty"))
      refuse("Verity=data needs Format=, CopyFiles= or CopyBlocks=");
    if (verity !== undefined && verity !== "off") {
      const { verityMatchKey } = definition;
      if (verityMatchKey === undefined) refuse(`Verity=${verity} needs VerityMatchKey=`);
      if (verity !== "signature" && definition.uuid !== undefined)
        refuse("UUID= of a verity partition is made from the root hash");
      for (const [role, least] of [
        ["data", 1],
        ["hash", 1],
        ["signature", 0],
      ] as const) {
        const found = definitions.filter((one) => one.verity === role && one.verityMatchKey === verityMatchKey).length;
        if (found < least || found > 1)
          refuse(
            `expected ${least === 0 ? "at most " : ""}one partition with Verity=${role} and VerityMatchKey=${verityMatchKey ?? ""}, found ${found}`,
            "define a data and a hash partition with the same VerityMatchKey=",
          );
      }
    }
  }
}

function fieldName(field: string): string {
  return `${field.charAt(0).toUpperCase()}${field.slice(1)}`;
}

/**
 * Signature partitions need something that signs.
 * @throws ConfigError `verity-signer-missing`
 */
export function checkSigner(definitions: readonly PartitionDefinition[], signer: Signer | undefined): void {
  const index = definitions.findIndex(({ verity }) => verity === "signature");
  const definition = definitions[index];
  if (definition === undefined || signer !== undefined) return;
  throw new ConfigError(`${describeDefinition(definition, index)}: Verity=signature needs a key that signs`, {
    code: "verity-signer-missing",
    hint: "set VerityKey= and VerityCertificate=, or make both with: imgtool genkey",
    data: { index, type: definition.type, origin: definition.origin },
  });
}
