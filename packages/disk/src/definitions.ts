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
  /** Name of the partition's own file when it is split off; "-" for none. Default: its label. */
  readonly splitName?: string;
}

export interface DefaultLayoutOptions {
  /** Format of the root file system. */
  readonly format: string;
  /** Add a hash partition; with "signed" also a signature partition. */
  readonly verity?: boolean | "signed";
}

/** One root partition with the whole tree, as small as it can be; with `verity` also what verifies it. */
export function defaultDefinitions(options: DefaultLayoutOptions): PartitionDefinition[] {
  const root: PartitionDefinition = {
    origin: "default layout",
    type: "root",
    format: options.format,
    copyFiles: [{ source: "/", target: "/" }],
    minimize: "best",
  };
  if (options.verity === undefined || options.verity === false) return [root];
  const common = { origin: "default layout", verityMatchKey: "root" };
  const layout: PartitionDefinition[] = [
    { ...root, verity: "data", verityMatchKey: "root" },
    { ...common, type: "root-verity", verity: "hash", minimize: "best" },
  ];
  if (options.verity === "signed") layout.push({ ...common, type: "root-verity-sig", verity: "signature" });
  return layout;
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
    if ((verity === "hash" || verity === "signature") && definition.format !== undefined)
      refuse(`a ${verity} partition has no Format=`);
    if (verity === "data" && definition.format === undefined) refuse("Verity=data needs Format=");
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
