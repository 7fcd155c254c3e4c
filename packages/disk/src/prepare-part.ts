/**
 * Prepares what a partition holds: a file system from the tree, or copied blocks. Nothing is written yet.
 * @module
 */
import { dirname } from "node:path";
import { throwIfAborted } from "@imgtool/core";
import { prepareCopyBlocks } from "./copy-blocks.ts";
import { describeDefinition } from "./definitions.ts";
import type { DiskOptions } from "./disk-options.ts";
import { findFilesystem, prepareFilesystem } from "./filesystems/index.ts";
import type { PreparedFilesystem } from "./filesystems/filesystem.ts";
import { fileSystemUuid } from "./identifiers.ts";
import { luksSectorSize } from "./luks/index.ts";
import type { Part } from "./part.ts";
import { atPlace } from "./problems.ts";
import { excludedFromRoot } from "./tree/exclude.ts";
import { type ExpectedFile, scanTree } from "./tree/scan.ts";
import { truncateLabel } from "./truncate-label.ts";

/**
 * As small as it can be. As systemd-repart: a file system fills the least that a partition of its format has,
 * so that a hash tree covers that whole.
 */
export async function prepareSmallest(
  options: DiskOptions,
  parts: readonly Part[],
  index: number,
): Promise<PreparedFilesystem | undefined> {
  const prepared = await prepare(options, parts, index, undefined);
  const { format } = parts[index] as Part;
  const least = format === undefined ? 0 : findFilesystem(format).minimumSize;
  return prepared === undefined || prepared.size >= least ? prepared : await prepare(options, parts, index, least);
}

/**
 * Prepares what a partition holds; an error says of which it is.
 * @param expected files that the tree will have: what is prepared then is planned, and never written
 */
export async function prepare(
  options: DiskOptions,
  parts: readonly Part[],
  index: number,
  size: number | undefined,
  expected?: readonly ExpectedFile[],
): Promise<PreparedFilesystem | undefined> {
  try {
    return await prepareContent(options, parts, index, size, expected);
  } catch (error) {
    throw atPlace(error, describeDefinition((parts[index] as Part).definition, index));
  }
}

async function prepareContent(
  options: DiskOptions,
  parts: readonly Part[],
  index: number,
  size: number | undefined,
  expected: readonly ExpectedFile[] = [],
): Promise<PreparedFilesystem | undefined> {
  const { definition, identified, format, lead } = parts[index] as Part;
  throwIfAborted(options.signal);
  if (definition.copyBlocks !== undefined)
    return prepareCopyBlocks(options.tree, definition.copyBlocks, { size, signal: options.signal });
  if (format === undefined) return undefined;
  const driver = findFilesystem(format);
  // What is to come may make the folders.
  const copy = (definition.copyFiles ?? []).map((rule) => (expected.length === 0 ? rule : { ...rule, optional: true }));
  const tree = await scanTree({
    tree: options.tree,
    copy,
    exclude: [
      ...(definition.excludeFiles ?? []),
      ...copy.flatMap((rule) =>
        excludedFromRoot(
          identified.type,
          rule,
          parts.map((part) => part.identified.type),
        ),
      ),
    ],
    excludeTarget: definition.excludeFilesTarget ?? [],
    expected,
    makeDirectories: definition.makeDirectories ?? [],
    makeSymlinks: definition.makeSymlinks ?? [],
    sourceDateEpoch: options.sourceDateEpoch,
    onMissing: (source) =>
      options.progress?.log(
        "warning",
        `${describeDefinition(definition, index)}: CopyFiles=${source}: it is not in the tree`,
      ),
    signal: options.signal,
  });
  const uuid = fileSystemUuid(identified.uuid);
  return await prepareFilesystem(format, {
    tree,
    scratch: options.workspace ?? dirname(options.output),
    scratchName: `.partition-${index + 1}`,
    uuid,
    hashSeed: uuid,
    // As systemd-repart: the partition's label, as far as the format has room.
    label: truncateLabel(definition.volumeLabel ?? identified.label, driver.labelLimit),
    sourceDateEpoch: options.sourceDateEpoch,
    size,
    // A hash tree stands for a file system that nobody writes to.
    roomUpTo:
      definition.minimize === "guess" && (definition.verity ?? "off") === "off"
        ? (definition.sizeMax ?? Infinity) - lead
        : undefined,
    // The sectors that device-mapper shows of an encrypted partition are those of LUKS.
    sectorSize: lead === 0 ? options.sectorSize : luksSectorSize,
    fat32: identified.type.name === "esp" || identified.type.name === "xbootldr",
    readOnly: identified.readOnly,
    compression:
      definition.compression === undefined
        ? undefined
        : { algorithm: definition.compression, level: definition.compressionLevel },
    subvolumes: definition.subvolumes,
    defaultSubvolume: definition.defaultSubvolume,
    signal: options.signal,
    progress: options.progress,
  });
}
