/**
 * Assembles a disk image: file systems from a tree, their hash trees, and the partition table, written
 * straight into a sparse file. No loop devices, no device-mapper, no mounts, no root.
 * @module
 */
import { closeSync, fsyncSync, openSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { Signer } from "@imgtool/cms";
import { ConfigError, formatSize, silentProgress, throwIfAborted, toHex, type Progress } from "@imgtool/core";
import { prepareCopyBlocks } from "./copy-blocks.ts";
import {
  checkDefinitions,
  checkSigner,
  describeDefinition,
  formatOf,
  type PartitionDefinition,
} from "./definitions.ts";
import { findFilesystem, prepareFilesystem } from "./filesystems/index.ts";
import type { PreparedFilesystem } from "./filesystems/filesystem.ts";
import { encodeGpt } from "./gpt.ts";
import { diskUuid, fileSystemUuid } from "./identifiers.ts";
import { luksDataOffset, luksSectorSize } from "./luks/index.ts";
import { readPassphrases } from "./passphrases.ts";
import { describePartitions, type DiskPartition } from "./describe-partitions.ts";
import { identifyPartitions, type IdentifiedPartition } from "./identify.ts";
import { partner, type Part } from "./part.ts";
import { grain, minimumSize, planDisk } from "./plan.ts";
import { encryptParts, hashParts, signParts } from "./protect-parts.ts";
import { SparseFile } from "./sparse-file.ts";
import { excludedFromRoot } from "./tree/exclude.ts";
import { scanTree } from "./tree/scan.ts";
import { truncateLabel } from "./truncate-label.ts";
import { veritySize } from "./verity-file.ts";
import { veritySignatureSize } from "./verity-signature.ts";

export interface DiskOptions {
  /** Path of the image that is made. Removed again after an error. */
  readonly output: string;
  /** Directory that CopyFiles= begin at. */
  readonly tree: string;
  readonly definitions: readonly PartitionDefinition[];
  /** UUID that all identifiers derive from. */
  readonly seed: string;
  /** By systemd's name: "x86-64", "arm64", … */
  readonly architecture: string;
  /** 512 (default), 1024, 2048 or 4096. */
  readonly sectorSize?: number;
  /** Seconds since 1970; times after it become it. */
  readonly sourceDateEpoch?: number | undefined;
  /** Signs root hashes; signature partitions need it, unless they are left empty. */
  readonly veritySigner?: Signer | undefined;
  /** Leaves signature partitions empty, for whoever signs the root hash later. Default false. */
  readonly deferSignatures?: boolean;
  /** File with the passphrase of encrypted partitions that have no KeyFile=. */
  readonly passphraseFile?: string | undefined;
  /** Keys of encrypted partitions that derive from the passphrase (default), or that no two disks share. */
  readonly encryptionKeys?: "derived" | "random";
  /** Bytes of the disk. Default: as small as it can be. */
  readonly size?: number;
  /**
   * Types of partitions that `beginDisk` leaves to `finish`, by designator ("esp"): what goes there may
   * depend on the others' root hash. They need a size in their definitions.
   */
  readonly last?: readonly string[];
  /** Folder for temporary files. Default: that of the output. */
  readonly workspace?: string;
  readonly progress?: Progress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface DiskResult {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly diskUuid: string;
  /** Hexadecimal; of the partition of the type root, or else of the first with a hash tree. */
  readonly rootHash?: string;
  /** The signature of `rootHash`, DER, where the disk has a partition for it. */
  readonly rootHashSignature?: Uint8Array;
  readonly partitions: readonly DiskPartition[];
}

/** A disk whose partitions are there, but for those that come last. */
export interface UnfinishedDisk {
  /** All of them, with the root hashes of those that have one. */
  readonly partitions: readonly DiskPartition[];
  /**
   * Fills the partitions that come last, from the tree as it is now, and writes the partition table.
   * @throws as makeDisk
   */
  finish(): Promise<DiskResult>;
}

/**
 * Makes the image. The same tree, definitions, seed and time give the same bytes.
 * @throws ConfigError for definitions that cannot be met: `definition-invalid`, `partition-type-unknown`,
 *   `filesystem-unknown`, `filesystem-full`, `disk-too-small`, `hash-tree-full`,
 *   `verity-signer-missing`, `passphrase-missing`, `secret-open`; EnvironmentError `no-space`, `write-failed`, `tool-missing`, `tree-changed`; AbortedError
 */
export async function makeDisk(options: DiskOptions): Promise<DiskResult> {
  const disk = await beginDisk({ ...options, last: [] });
  return await disk.finish();
}

/**
 * Makes the image as far as it does not depend on the partitions that come last. Whoever does not call
 * `finish` removes the output.
 * @throws as makeDisk
 */
export async function beginDisk(options: DiskOptions): Promise<UnfinishedDisk> {
  checkDefinitions(options.definitions);
  if (options.deferSignatures !== true) checkSigner(options.definitions, options.veritySigner);
  const passphrases = readPassphrases(options.definitions, options.passphraseFile);
  const identified = identifyPartitions(options.definitions, options);
  const parts = options.definitions.map((definition, index): Part => {
    const one = identified[index] as IdentifiedPartition;
    const format = formatOf(definition);
    if (format !== undefined && format !== "empty") findFilesystem(format);
    const minimized = definition.minimize !== undefined && definition.minimize !== "off";
    const last = options.last?.includes(one.type.designator ?? "") === true;
    if (last && minimized)
      throw new ConfigError(
        `${describeDefinition(definition, index)}: Minimize= cannot be had for it: what goes there is known last`,
        { code: "definition-invalid", hint: "set SizeMinBytes= and SizeMaxBytes=" },
      );
    return {
      last,
      identified: one,
      definition,
      format: format === "empty" ? undefined : format,
      minimized,
      passphrase: passphrases.get(definition),
      lead: passphrases.has(definition) ? luksDataOffset : 0,
      prepared: undefined,
      placement: { placed: false, offset: 0, size: 0 },
    };
  });
  return await orRemove(options.output, async () => await begin(options, parts));
}

/** Nothing stays of an image that failed. */
async function orRemove<T>(path: string, make: () => Promise<T>): Promise<T> {
  try {
    return await make();
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
}

async function begin(options: DiskOptions, parts: readonly Part[]): Promise<UnfinishedDisk> {
  for (const [index, part] of parts.entries())
    if (part.minimized || part.definition.copyBlocks !== undefined)
      part.prepared = await prepare(options, parts, index, undefined);
  const plan = planDisk(
    parts.map((part, index) => request(parts, part, index)),
    options.size,
    options.sectorSize,
  );
  for (const [index, part] of parts.entries()) {
    part.placement = plan.placements[index] ?? part.placement;
    // What is copied grows with its partition, which a hash tree covers whole.
    if (part.placement.placed && !part.last && (!part.minimized || part.definition.copyBlocks !== undefined))
      part.prepared = await prepare(options, parts, index, part.placement.size - part.lead);
  }

  using file = new SparseFile(options.output);
  file.setSize(plan.size);
  await writeParts(
    options,
    parts.filter(({ last }) => !last),
    file,
  );
  file.close();
  const rootHashes = await hashParts(options, parts);
  return {
    partitions: describePartitions(parts, rootHashes),
    finish: async () => await orRemove(options.output, async () => await finish(options, parts, plan.size, rootHashes)),
  };
}

/** Writes the content of these parts, and encrypts what is to be encrypted. */
async function writeParts(options: DiskOptions, parts: readonly Part[], file: SparseFile): Promise<void> {
  const progress = options.progress ?? silentProgress;
  for (const { prepared, placement, identified, lead } of parts) {
    if (prepared === undefined || !placement.placed) continue;
    throwIfAborted(options.signal);
    using task = progress.start({ label: `write ${identified.label}`, unit: "bytes", total: prepared.size });
    await prepared.write(file.window(placement.offset + lead, (count) => task.advance(count)));
    task.done(formatSize(prepared.size));
  }
  file.flush();
  await encryptParts(options, parts, file);
}

async function finish(
  options: DiskOptions,
  parts: readonly Part[],
  size: number,
  rootHashes: ReadonlyMap<Part, Uint8Array>,
): Promise<DiskResult> {
  for (const [index, part] of parts.entries())
    if (part.last && part.placement.placed)
      part.prepared = await prepare(options, parts, index, part.placement.size - part.lead);
  using file = new SparseFile(options.output, { keep: true });
  await writeParts(
    options,
    parts.filter(({ last }) => last),
    file,
  );
  const disk = diskUuid(options.seed);
  const partitions = describePartitions(parts, rootHashes);
  const regions = encodeGpt({
    diskUuid: disk,
    size,
    ...(options.sectorSize === undefined ? {} : { sectorSize: options.sectorSize }),
    partitions: partitions.map((partition) => ({ ...partition, type: partition.typeUuid })),
  });
  for (const { offset, bytes } of regions) file.write(offset, bytes);
  const signer = options.deferSignatures === true ? undefined : options.veritySigner;
  const signatures = signParts(signer, parts, rootHashes);
  for (const [part, { partition }] of signatures) file.write(part.placement.offset, partition);
  file.close();
  const written = openSync(options.output, "r");
  try {
    fsyncSync(written);
  } finally {
    closeSync(written);
  }
  const rootHash = (
    partitions.find((one) => one.type.startsWith("root") && one.rootHash !== undefined) ??
    partitions.find((one) => one.rootHash !== undefined)
  )?.rootHash;
  const rootHashSignature = [...signatures].find(
    ([part]) => toHex(rootHashes.get(part) ?? new Uint8Array()) === rootHash,
  )?.[1].der;
  return {
    path: options.output,
    size,
    diskUuid: disk,
    ...(rootHash === undefined ? {} : { rootHash }),
    ...(rootHashSignature === undefined ? {} : { rootHashSignature }),
    partitions,
  };
}

async function prepare(
  options: DiskOptions,
  parts: readonly Part[],
  index: number,
  size: number | undefined,
): Promise<PreparedFilesystem | undefined> {
  const { definition, identified, format, lead } = parts[index] as Part;
  throwIfAborted(options.signal);
  if (definition.copyBlocks !== undefined)
    return prepareCopyBlocks(options.tree, definition.copyBlocks, { size, signal: options.signal });
  if (format === undefined) return undefined;
  const driver = findFilesystem(format);
  const copy = definition.copyFiles ?? [];
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
    makeDirectories: definition.makeDirectories ?? [],
    makeSymlinks: definition.makeSymlinks ?? [],
    sourceDateEpoch: options.sourceDateEpoch,
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

function request(parts: readonly Part[], part: Part, index: number): Parameters<typeof planDisk>[0][number] {
  const { definition, minimized } = part;
  let content = part.prepared === undefined ? undefined : part.prepared.size + part.lead;
  if (definition.verity === "hash" && minimized) {
    const data = partner(parts, part);
    if (data?.prepared === undefined)
      throw new ConfigError(
        `${describeDefinition(definition, index)}: Minimize= needs it for the data partition, too`,
        { code: "definition-invalid" },
      );
    content = veritySize(data.prepared.size);
  }
  const minimum =
    definition.verity === "signature"
      ? veritySignatureSize
      : minimumSize({
          sizeMin: definition.sizeMin,
          content,
          format: leastOf(part),
          minimized: minimized && content !== undefined,
        });
  // As systemd-repart: what a LUKS volume needs counts for more than SizeMaxBytes=.
  const largest =
    part.lead === 0 ? (definition.sizeMax ?? Infinity) : Math.max(minimum, definition.sizeMax ?? Infinity);
  if (content !== undefined && definition.sizeMax !== undefined && content > definition.sizeMax)
    throw new ConfigError(
      `${describeDefinition(definition, index)}: its content has ${formatSize(content)}, ${content - definition.sizeMax} bytes more than SizeMaxBytes=${definition.sizeMax}`,
      {
        code: "filesystem-full",
        data: { needed: content, size: definition.sizeMax, missing: content - definition.sizeMax },
      },
    );
  return {
    name: part.identified.label,
    priority: definition.priority ?? 0,
    weight: definition.weight ?? 1000,
    paddingWeight: definition.paddingWeight ?? 0,
    minimum,
    maximum: definition.verity === "signature" ? minimum : largest,
    paddingMinimum: definition.paddingMin ?? 0,
    paddingMaximum: definition.paddingMax ?? Infinity,
  };
}

/** The least that the format needs, in an encrypted partition with as much room for LUKS as systemd-repart leaves. */
function leastOf({ format, lead }: Part): number | undefined {
  const least = format === undefined ? undefined : findFilesystem(format).minimumSize;
  return lead === 0 ? least : 2 * lead + Math.max(grain, least ?? 0);
}
