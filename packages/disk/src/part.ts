/** A partition while its disk is made. */
import type { PartitionDefinition } from "./definitions.ts";
import type { PreparedFilesystem } from "./filesystems/filesystem.ts";
import type { IdentifiedPartition } from "./identify.ts";
import type { Placement } from "./plan.ts";

export interface Part {
  readonly last: boolean;
  readonly identified: IdentifiedPartition;
  readonly definition: PartitionDefinition;
  /** Name of its file system, if it has one. */
  readonly format: string | undefined;
  readonly minimized: boolean;
  /** Of an encrypted partition. */
  readonly passphrase: Uint8Array | undefined;
  /** Bytes of the partition before its content: the LUKS header. */
  readonly lead: number;
  prepared: PreparedFilesystem | undefined;
  /** Bytes that it turned out to need. */
  least: number | undefined;
  placement: Placement;
}

/** The data partition of a hash partition, and the other way round. */
export function partner(parts: readonly Part[], part: Part): Part | undefined {
  const wanted = part.definition.verity === "hash" ? "data" : "hash";
  return parts.find(
    (other) => other.definition.verity === wanted && other.definition.verityMatchKey === part.definition.verityMatchKey,
  );
}

/** Whether its size is known only when the others are there. */
export function isOpen({ last, minimized }: Part): boolean {
  return last && minimized;
}
