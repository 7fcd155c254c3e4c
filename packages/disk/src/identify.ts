/**
 * What distinguishes the partitions of a disk: type, label, UUID and flags, with systemd-repart's
 * defaults.
 * @module
 */
import { ConfigError, isUuid } from "@imgtool/core";
import { describeDefinition, type PartitionDefinition } from "./definitions.ts";
import { gptFlags, gptNameUnits } from "./gpt.ts";
import { partitionUuid } from "./identifiers.ts";
import { findPartitionType, type PartitionType } from "./partition-types.ts";

export interface IdentifiedPartition {
  readonly type: PartitionType;
  readonly label: string;
  /** Derived or configured; partitions with a root hash get another one in the table. */
  readonly uuid: string;
  readonly flags: bigint;
  readonly readOnly: boolean;
}

const writableTypes = new Set(["root", "usr", "home", "srv", "var", "tmp", "xbootldr"]);
/** Signature partitions are none of them: systemd-repart gives those no flags. */
const isVerity = (type: PartitionType): boolean => type.designator?.endsWith("-verity") === true;

/** Which attribute bits mean something for a type (Discoverable Partitions Specification). */
function knownFlags(type: PartitionType): { grow: boolean; readOnly: boolean; noAuto: boolean } {
  const grow = writableTypes.has(type.designator ?? "");
  const readOnly = grow || isVerity(type);
  return { grow, readOnly, noAuto: readOnly || type.designator === "swap" };
}

/**
 * Identifies every partition of a disk.
 * @throws ConfigError `partition-type-unknown`, `label-too-long`
 */
export function identifyPartitions(
  definitions: readonly PartitionDefinition[],
  options: { readonly seed: string; readonly architecture: string },
): IdentifiedPartition[] {
  const counts = new Map<string, number>();
  const labels = new Set(definitions.flatMap((definition) => definition.label ?? []));
  return definitions.map((definition, index) => {
    const type = findPartitionType(definition.type, options.architecture);
    const count = counts.get(type.uuid) ?? 0;
    counts.set(type.uuid, count + 1);
    const label =
      definition.label ??
      (definition.format === "empty" ? "_empty" : freeLabel(isUuid(type.name) ? "linux" : type.name, labels));
    labels.add(label);
    if (label.length > gptNameUnits)
      throw new ConfigError(
        `${describeDefinition(definition, index)}: the label "${label}" has ${label.length} UTF-16 units, at most ${gptNameUnits} fit`,
        { code: "label-too-long", data: { label, limit: gptNameUnits } },
      );
    const known = knownFlags(type);
    const readOnly =
      definition.readOnly ?? (definition.verity === "data" || definition.verity === "hash" || isVerity(type));
    let flags = definition.flags ?? 0n;
    // A field wins over its bit in Flags=; its default only ever adds the bit.
    const set = (known: boolean, wanted: boolean | undefined, fallback: boolean, bit: bigint): void => {
      if (known && (wanted ?? fallback)) flags |= bit;
      else if (known && wanted === false) flags &= ~bit;
    };
    set(known.readOnly, definition.readOnly, readOnly, gptFlags.readOnly);
    set(known.grow, definition.growFileSystem, !readOnly, gptFlags.growFileSystem);
    set(known.noAuto, definition.noAuto, definition.format === "empty", gptFlags.noAuto);
    const uuid = definition.uuid?.toLowerCase() ?? partitionUuid(options.seed, type.uuid, count);
    return { type, label, uuid, flags, readOnly };
  });
}

/** The name itself, or with the first number from 2 on that is not taken. */
function freeLabel(name: string, taken: ReadonlySet<string>): string {
  if (!taken.has(name)) return name;
  for (let number = 2; ; number++) if (!taken.has(`${name}-${number}`)) return `${name}-${number}`;
}
