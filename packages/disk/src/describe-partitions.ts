/** The partitions of a disk as they are told to its caller. */
import { toHex } from "@imgtool/core";
import { formatOf, type PartitionDefinition } from "./definitions.ts";
import { luksUuid, verityPartitionUuids } from "./identifiers.ts";
import type { IdentifiedPartition } from "./identify.ts";
import type { Part } from "./part.ts";

export interface DiskPartition {
  /** Number in the partition table, from 1. */
  readonly number: number;
  /** Name of the type: "root-x86-64"; a UUID where it has no name. */
  readonly type: string;
  readonly typeUuid: string;
  readonly label: string;
  readonly uuid: string;
  readonly flags: bigint;
  /** Bytes from the start of the disk. */
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
  readonly format?: string;
  /** UUID of the LUKS2 volume around the content. */
  readonly luksUuid?: string;
  /** Hexadecimal; of data, hash and signature partitions. */
  readonly rootHash?: string;
  /** Name for the partition as a file of its own; undefined when it shall not be split off. */
  readonly splitName?: string;
}

/** Those that have a place, numbered as in the partition table. */
export function describePartitions(parts: readonly Part[], rootHashes: ReadonlyMap<Part, Uint8Array>): DiskPartition[] {
  return parts
    .filter((part) => part.placement.placed)
    .map((part, index): DiskPartition => {
      const { identified, definition, placement, passphrase } = part;
      const format = formatOf(definition);
      const number = index + 1;
      const rootHash = rootHashes.get(part);
      const uuids = rootHash === undefined ? undefined : verityPartitionUuids(rootHash);
      const { verity } = definition;
      const ofHash = verity === "hash" || verity === "data" ? uuids?.[verity] : undefined;
      const uuid = (definition.uuid === undefined ? ofHash : undefined) ?? identified.uuid;
      const name = splitNameOf(definition, { number, type: identified.type, uuid });
      return {
        number,
        type: identified.type.name,
        typeUuid: identified.type.uuid,
        label: identified.label,
        uuid,
        flags: identified.flags,
        offset: placement.offset,
        size: placement.size,
        ...(format === undefined ? {} : { format }),
        ...(passphrase === undefined ? {} : { luksUuid: luksUuid(identified.uuid) }),
        ...(rootHash === undefined ? {} : { rootHash: toHex(rootHash) }),
        ...(name === undefined ? {} : { splitName: name }),
      };
    });
}

/** SplitName= with its own specifiers; undefined where there is nothing to split off, as of a placeholder. */
export function splitNameOf(
  { splitName = "%t", format }: PartitionDefinition,
  partition: { readonly number: number; readonly type: IdentifiedPartition["type"]; readonly uuid: string },
): string | undefined {
  if (splitName === "-" || format === "empty") return undefined;
  const values: Readonly<Record<string, string>> = {
    t: partition.type.name,
    T: partition.type.uuid,
    U: partition.uuid,
    n: String(partition.number),
    "%": "%",
  };
  return splitName.replaceAll(/%([tTUn%])/g, (_, letter: string) => values[letter] ?? "");
}
