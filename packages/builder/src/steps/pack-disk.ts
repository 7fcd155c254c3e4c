/**
 * Packs a tree as a disk image.
 * @module
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { silentProgress } from "@imgtool/core";
import { makeDisk } from "@imgtool/disk";
import type { BuildContext } from "../context.ts";
import type { PartitionRecord } from "../record.ts";
import { partitionDefinitions } from "../repart-definitions.ts";
import { veritySigner } from "../signers.ts";

export interface PackedDisk {
  readonly rootHash: string | undefined;
  /** DER. */
  readonly rootHashSignature: Uint8Array | undefined;
  readonly partitions: readonly PartitionRecord[];
}

/** Makes the disk `output` from the project's partition definitions, or the default layout. */
export async function packDisk(context: BuildContext, output: string): Promise<PackedDisk> {
  const { config, tree, progress, signal } = context;
  const workspace = join(context.workspace, "disk");
  await mkdir(workspace);
  const { rootHash, rootHashSignature, partitions } = await makeDisk({
    output,
    tree,
    definitions: await partitionDefinitions(config, progress),
    seed: config.seed,
    architecture: config.architecture,
    sectorSize: config.sectorSize,
    sourceDateEpoch: config.sourceDateEpoch,
    passphraseFile: config.passphraseFile,
    veritySigner: await veritySigner(config, silentProgress),
    workspace,
    progress,
    signal,
  });
  return {
    rootHash,
    rootHashSignature,
    partitions: partitions.map(({ type, label, uuid, offset, size }) => ({ type, label, uuid, offset, size })),
  };
}
