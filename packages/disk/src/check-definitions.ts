/**
 * What can be known to be wrong with partition definitions before there is a tree.
 * @module
 */
import type { Signer } from "@imgtool/cms";
import { ConfigError } from "@imgtool/core";
import { splitNameOf } from "./describe-partitions.ts";
import { describeDefinition, formatOf, verityBlocksOf, type PartitionDefinition } from "./definitions.ts";
import { checkCompression } from "./filesystems/compression.ts";
import { findFilesystem } from "./filesystems/index.ts";
import { identifyPartitions } from "./identify.ts";
import { findPartitionType } from "./partition-types.ts";
import { Problems } from "./problems.ts";
import { veritySize } from "./verity-file.ts";

/** What a layout is checked for. */
export interface LayoutOptions {
  /** By systemd's name: "x86-64", "arm64", … */
  readonly architecture: string;
  /** UUID that all identifiers derive from. */
  readonly seed: string;
  /** Bytes, where it is asked for. */
  readonly sectorSize?: number | undefined;
}

/**
 * Checks what can be checked without the tree: types, labels and formats, that verity partitions come in pairs,
 * that sizes make sense. What is wrong with several definitions is said at once.
 * @throws ConfigError `definition-invalid`, `partition-type-unknown`, `label-too-long`, `filesystem-unknown`
 */
export function checkDefinitions(definitions: readonly PartitionDefinition[], options: LayoutOptions): void {
  if (definitions.length === 0)
    throw new ConfigError("a disk needs at least one partition definition", { code: "definition-invalid" });
  const problems = new Problems();
  for (const [index, definition] of definitions.entries()) {
    const place = describeDefinition(definition, index);
    problems.attempt(() => findPartitionType(definition.type, options.architecture), place);
    problems.attempt(() => {
      const format = formatOf(definition);
      if (format === undefined || format === "empty") return;
      findFilesystem(format);
      const { compression: algorithm, compressionLevel: level } = definition;
      if (algorithm !== undefined) checkCompression(format, { algorithm, level }, place);
    }, place);
    problems.attempt(() => checkDefinition(definitions, definition, index, options.sectorSize));
  }
  problems.throwAny();
  identifyPartitions(definitions, options);
}

/**
 * As systemd-repart: partitions that become files of their own have names of their own.
 * @throws ConfigError `definition-invalid`
 */
export function checkSplitNames(definitions: readonly PartitionDefinition[], options: LayoutOptions): void {
  const places = new Map<string, string>();
  for (const [index, { type, uuid }] of identifyPartitions(definitions, options).entries()) {
    const definition = definitions[index] as PartitionDefinition;
    const name = splitNameOf(definition, { number: index + 1, type, uuid });
    if (name === undefined) continue;
    const place = describeDefinition(definition, index);
    const other = places.get(name);
    if (other !== undefined)
      throw new ConfigError(`${place}: as a file of its own it has the name "${name}", which is that of ${other}`, {
        code: "definition-invalid",
        hint: "set SplitName=, to - where the partition shall not be split off",
        data: { name },
      });
    places.set(name, place);
  }
}

function checkDefinition(
  definitions: readonly PartitionDefinition[],
  definition: PartitionDefinition,
  index: number,
  sectorSize: number | undefined,
): void {
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
  const { paddingMin = 0, paddingMax = Infinity, minimize = "off" } = definition;
  if (paddingMin > paddingMax) refuse(`PaddingMinBytes=${paddingMin} is larger than PaddingMaxBytes=${paddingMax}`);
  const format = formatOf(definition);
  if (minimize !== "off" && format === undefined && verity !== "hash" && definition.copyBlocks === undefined)
    refuse("Minimize= needs Format=, files to copy or Verity=hash");
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
  if (definition.encrypt === "key-file") {
    if (verity !== undefined && verity !== "off")
      refuse(
        `Encrypt= cannot be combined with Verity=${verity}`,
        "choose one of them: what is secret goes onto a partition of its own (Encrypt=data)",
      );
    if (format === "empty") refuse("Encrypt= has no place with Format=empty");
  } else if (definition.keyFile !== undefined) refuse("KeyFile= needs Encrypt=key-file");
  if (verity !== undefined && verity !== "off") {
    const { verityMatchKey } = definition;
    if (verityMatchKey === undefined) refuse(`Verity=${verity} needs VerityMatchKey=`);
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
  if (verity === "hash") checkHashSize(definitions, definition, sectorSize, refuse);
}

function isMinimized({ minimize = "off" }: PartitionDefinition): boolean {
  return minimize !== "off";
}

/** A hash partition that is too small for the least that its data partition can have. */
function checkHashSize(
  definitions: readonly PartitionDefinition[],
  hash: PartitionDefinition,
  sectorSize: number | undefined,
  refuse: (message: string, hint?: string) => never,
): void {
  const data = definitions.find((one) => one.verity === "data" && one.verityMatchKey === hash.verityMatchKey);
  if (data === undefined) return;
  if (isMinimized(hash)) {
    if (!isMinimized(data) && data.copyBlocks === undefined)
      refuse("Minimize= needs it for the data partition, too", "set it for both, or SizeMinBytes= here");
    return;
  }
  // What is minimized is hashed as far as it goes, and without SizeMinBytes= there is room for SizeMaxBytes= of the data.
  if (isMinimized(data) || data.sizeMin === undefined || hash.sizeMax === undefined) return;
  if (hash.sizeMin === undefined && data.sizeMax !== undefined) return;
  const needed = veritySize(data.sizeMin, verityBlocksOf(hash, sectorSize));
  if (needed > hash.sizeMax)
    refuse(
      `the hash tree of a partition of ${data.sizeMin} bytes needs ${needed} bytes, ${needed - hash.sizeMax} more than SizeMaxBytes=${hash.sizeMax}`,
      "raise SizeMaxBytes=, or leave both sizes out: they follow from SizeMaxBytes= of the data partition",
    );
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
