/**
 * Packs a tree as a disk image.
 * @module
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { silentProgress } from "@imgtool/core";
import { beginDisk } from "@imgtool/disk";
import { checkBootRoom } from "../boot/boot-room.ts";
import { unifiedSize } from "../boot/within-kernel.ts";
import { checkPartitions, lastPartitions } from "../check-partitions.ts";
import type { BuildContext } from "../context.ts";
import { isDisk } from "../formats.ts";
import { readOsRelease } from "../os-release.ts";
import { outputNames, uncompressed } from "../outputs.ts";
import type { PartitionRecord } from "../record.ts";
import { partitionDefinitions } from "../repart-definitions.ts";
import { veritySigner } from "../signers.ts";

export interface PackedDisk {
  readonly rootHash: string | undefined;
  /** DER. */
  readonly rootHashSignature: Uint8Array | undefined;
  readonly partitions: readonly PartitionRecord[];
}

/** Makes the partitions of a disk as far as nothing in them depends on others. */
export async function beginPartitions(context: BuildContext): Promise<void> {
  const { config, tree, staging, progress, signal, toldWarnings: told } = context;
  const { image } = outputNames(config);
  if (!isDisk(config.format) || image === undefined) return;
  const workspace = join(context.workspace, "disk");
  await mkdir(workspace);
  const boots = { esp: context.boot !== undefined, bios: context.boot?.grub.bios !== undefined };
  const size = config.format === "esp" ? await unifiedSize(context) : 0;
  const definitions = await partitionDefinitions(config, progress, boots, {
    unifiedSize: size,
    told,
    // A tree without the file has none of its fields.
    osRelease: (await readOsRelease(tree)) ?? new Map<string, string>(),
  });
  checkPartitions(config, definitions);
  const options = {
    tree,
    definitions,
    seed: config.seed,
    architecture: config.architecture,
    sectorSize: config.sectorSize,
    sourceDateEpoch: config.sourceDateEpoch,
    passphraseFile: config.passphraseFile,
    veritySigner: await veritySigner(config, silentProgress),
    deferSignatures: config.verity === "defer",
    last: lastPartitions(boots.esp),
    workspace,
    progress,
    signal,
  };
  await checkBootRoom(context, options);
  context.disk = await beginDisk({ ...options, output: join(staging, uncompressed(image)) });
}

/** Fills what is left, now that the tree has it. */
export async function finishPartitions({ disk }: BuildContext): Promise<PackedDisk> {
  if (disk === undefined) throw new RangeError("no partitions were begun");
  const { rootHash, rootHashSignature, partitions } = await disk.finish();
  return {
    rootHash,
    rootHashSignature,
    partitions: partitions.map(({ type, label, uuid, offset, size, splitName }) => ({
      type,
      label,
      uuid,
      offset,
      size,
      ...(splitName === undefined ? {} : { splitName }),
    })),
  };
}
