/**
 * Assembles a disk image: file systems from a tree, their hash trees, and the partition table, written
 * straight into a sparse file. No loop devices, no device-mapper, no mounts, no root.
 * @module
 */
import { closeSync, fsyncSync, openSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Signer } from "@imgtool/cms";
import { ConfigError, formatSize, silentProgress, throwIfAborted, toHex, type Progress } from "@imgtool/core";
import { prepareCopyBlocks } from "./copy-blocks.ts";
import { checkDefinitions, checkSigner } from "./check-definitions.ts";
import { describeDefinition, formatOf, verityBlocksOf, type PartitionDefinition } from "./definitions.ts";
import { findFilesystem, prepareFilesystem } from "./filesystems/index.ts";
import type { PreparedFilesystem } from "./filesystems/filesystem.ts";
import { encodeGpt } from "./gpt.ts";
import { diskUuid, fileSystemUuid } from "./identifiers.ts";
import { luksDataOffset, luksSectorSize } from "./luks/index.ts";
import { readPassphrases } from "./passphrases.ts";
import { describePartitions, type DiskPartition } from "./describe-partitions.ts";
import { identifyPartitions, type IdentifiedPartition } from "./identify.ts";
import { partner, type Part } from "./part.ts";
import { copyRanges } from "./copy-ranges.ts";
import { type DiskPlan, grain, largestUnaligned, minimumSize, planDisk } from "./plan.ts";
import { atPlace } from "./problems.ts";
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
  /** 512, 1024, 2048 or 4096. Default 512; the blocks of hash trees have 4096 bytes only if it is not given. */
  readonly sectorSize?: number | undefined;
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
   * depend on the others' root hash. Where they have Minimize=, `size` cannot be given.
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
  /** All of them, with the root hashes of those that have one. What comes last and has Minimize= has no size yet: 0. */
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
  checkDefinitions(options.definitions, options);
  if (options.deferSignatures !== true) checkSigner(options.definitions, options.veritySigner);
  const passphrases = readPassphrases(options.definitions, options.passphraseFile);
  const identified = identifyPartitions(options.definitions, options);
  const parts = options.definitions.map((definition, index): Part => {
    const one = identified[index] as IdentifiedPartition;
    const format = formatOf(definition);
    const minimized = definition.minimize !== undefined && definition.minimize !== "off";
    const last = options.last?.includes(one.type.designator ?? "") === true;
    return {
      last,
      identified: one,
      definition,
      format: format === "empty" ? undefined : format,
      minimized,
      passphrase: passphrases.get(definition),
      lead: passphrases.has(definition) ? luksDataOffset : 0,
      prepared: undefined,
      // Until it is known: so much that the disk is one of those that are aligned.
      least: last && minimized ? largestUnaligned : undefined,
      placement: { placed: false, offset: 0, size: 0 },
    };
  });
  if (parts.some(isOpen)) {
    if (options.size !== undefined)
      throw new RangeError("a partition whose size is known last needs a disk without one");
    // What is behind an open partition moves once that has its size.
    const begun = join(options.workspace ?? dirname(options.output), ".partitions");
    return await orRemove([begun], async () => await begin({ ...options, output: begun }, parts, options.output));
  }
  return await orRemove([options.output], async () => await begin(options, parts, options.output));
}

/** Whether its size is known only when the others are there. */
function isOpen({ last, minimized }: Part): boolean {
  return last && minimized;
}

/** Nothing stays of an image that failed. */
async function orRemove<T>(paths: readonly string[], make: () => Promise<T>): Promise<T> {
  try {
    return await make();
  } catch (error) {
    for (const path of paths) await rm(path, { force: true });
    throw error;
  }
}

/**
 * Writes to the output of the options.
 * @param disk path of the finished image
 */
async function begin(options: DiskOptions, parts: readonly Part[], disk: string): Promise<UnfinishedDisk> {
  const begun = options.output;
  for (const [index, part] of parts.entries())
    if (!isOpen(part) && (part.minimized || part.definition.copyBlocks !== undefined))
      part.prepared = await prepareSmallest(options, parts, index);
  const plan = await planAndPrepare(options, parts);
  for (const [index, part] of parts.entries())
    if (!isOpen(part)) warnOfSize(part, index, options.progress ?? silentProgress);

  using file = new SparseFile(begun);
  file.setSize(plan.size);
  await writeParts(
    options,
    parts.filter(({ last }) => !last),
    file,
  );
  file.close();
  const rootHashes = await hashParts(options, parts);
  const open = new Set(
    parts.filter(({ placement }) => placement.placed).flatMap((part, at) => (isOpen(part) ? [at] : [])),
  );
  return {
    partitions: describePartitions(parts, rootHashes).map((one, at) => (open.has(at) ? { ...one, size: 0 } : one)),
    finish: async () =>
      await orRemove([begun, disk], async () => {
        const last = { ...options, output: disk };
        return await finish(last, parts, begun === disk ? plan : await settle(last, parts, begun), rootHashes);
      }),
  };
}

/** Gives the open partitions their sizes, and moves the others from where they were begun to the disk. */
async function settle(options: DiskOptions, parts: readonly Part[], begun: string): Promise<DiskPlan> {
  for (const [index, part] of parts.entries())
    if (isOpen(part)) part.prepared = await prepareSmallest(options, parts, index);
  const before = parts.map(({ placement }) => placement);
  const plan = planDisk(
    parts.map((part, index) => {
      const { size } = part.placement;
      const asked = request(parts, part, index, options.sectorSize);
      return isOpen(part) ? asked : { ...asked, minimum: size, maximum: size };
    }),
    undefined,
    options.sectorSize,
  );
  for (const [index, part] of parts.entries()) {
    part.placement = plan.placements[index] ?? part.placement;
    if (isOpen(part)) warnOfSize(part, index, options.progress ?? silentProgress);
  }
  const ranges = parts.flatMap(({ last, placement: { offset: to, size } }, index) =>
    last ? [] : [{ from: before[index]?.offset ?? 0, to, size }],
  );
  await copyRanges({ source: begun, target: options.output, size: plan.size, ranges, signal: options.signal });
  await rm(begun);
  return plan;
}

/** Settles all sizes, and prepares what fills its partition. */
async function planAndPrepare(options: DiskOptions, parts: readonly Part[]): Promise<DiskPlan> {
  const plan = planDisk(
    parts.map((part, index) => request(parts, part, index, options.sectorSize)),
    options.size,
    options.sectorSize,
  );
  for (const [index, part] of parts.entries()) part.placement = plan.placements[index] ?? part.placement;
  if (growHashParts(parts, options.sectorSize)) return await planAndPrepare(options, parts);
  for (const [index, part] of parts.entries()) {
    // What is copied grows with its partition, which a hash tree covers whole, unless that is to be small.
    const isSettled = part.minimized || partner(parts, part)?.minimized === true;
    if (!part.placement.placed || part.last || (part.definition.copyBlocks === undefined ? part.minimized : isSettled))
      continue;
    try {
      part.prepared = await prepare(options, parts, index, part.placement.size - part.lead);
    } catch (error) {
      // Once, or else the disk has no room for more.
      const needed = part.least === undefined ? neededSize(part, error) : undefined;
      if (needed === undefined) throw error;
      part.least = needed;
      return await planAndPrepare(options, parts);
    }
  }
  return plan;
}

/** Whether hash partitions without a size turned out to be too small for their data; then they have a new least size. */
function growHashParts(parts: readonly Part[], sectorSize: number | undefined): boolean {
  let isAnyLarger = false;
  for (const part of parts) {
    const { definition, placement, minimized } = part;
    const data = definition.verity === "hash" ? partner(parts, part) : undefined;
    if (data === undefined || !data.placement.placed || !placement.placed) continue;
    if (minimized || definition.sizeMin !== undefined) continue;
    const dataSize = data.minimized ? (data.prepared?.size ?? 0) : data.placement.size;
    const needed = veritySize(dataSize, verityBlocksOf(definition, sectorSize));
    if (needed <= placement.size || needed > (definition.sizeMax ?? Infinity)) continue;
    part.least = needed;
    isAnyLarger = true;
  }
  return isAnyLarger;
}

/**
 * Bytes of the partition that a read-only file system needs, where no size says otherwise. systemd-repart gives it
 * 4096 bytes and a share of what is free, and fails where that is not enough.
 */
function neededSize({ definition, format, lead }: Part, error: unknown): number | undefined {
  if (format === undefined || findFilesystem(format).writable || definition.sizeMin !== undefined) return undefined;
  if (!(error instanceof ConfigError) || error.code !== "filesystem-full") return undefined;
  const { needed } = error.data;
  if (typeof needed !== "number" || needed + lead > (definition.sizeMax ?? Infinity)) return undefined;
  return needed + lead;
}

/** As systemd-repart, what a partition needs counts for more than SizeMaxBytes=; a slot elsewhere may not be as large. */
function warnOfSize({ definition, placement }: Part, index: number, progress: Progress): void {
  const { sizeMax = Infinity, verity } = definition;
  if (!placement.placed || placement.size <= sizeMax || verity === "signature") return;
  const more = `${placement.size - sizeMax} bytes more than SizeMaxBytes=`;
  progress.log(
    "warning",
    `${describeDefinition(definition, index)}: it has ${formatSize(placement.size)}, ${more}: its content or format needs them`,
  );
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
  plan: DiskPlan,
  rootHashes: ReadonlyMap<Part, Uint8Array>,
): Promise<DiskResult> {
  for (const [index, part] of parts.entries())
    if (part.last && !part.minimized && part.placement.placed)
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
    size: plan.size,
    firstUsable: plan.firstUsable,
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
    size: plan.size,
    diskUuid: disk,
    ...(rootHash === undefined ? {} : { rootHash }),
    ...(rootHashSignature === undefined ? {} : { rootHashSignature }),
    partitions,
  };
}

/**
 * As small as it can be. As systemd-repart: a file system fills the least that a partition of its format has,
 * so that a hash tree covers that whole.
 */
async function prepareSmallest(
  options: DiskOptions,
  parts: readonly Part[],
  index: number,
): Promise<PreparedFilesystem | undefined> {
  const prepared = await prepare(options, parts, index, undefined);
  const { format } = parts[index] as Part;
  const least = format === undefined ? 0 : findFilesystem(format).minimumSize;
  return prepared === undefined || prepared.size >= least ? prepared : await prepare(options, parts, index, least);
}

/** Prepares what a partition holds; an error says of which it is. */
async function prepare(
  options: DiskOptions,
  parts: readonly Part[],
  index: number,
  size: number | undefined,
): Promise<PreparedFilesystem | undefined> {
  try {
    return await prepareContent(options, parts, index, size);
  } catch (error) {
    throw atPlace(error, describeDefinition((parts[index] as Part).definition, index));
  }
}

async function prepareContent(
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

function request(
  parts: readonly Part[],
  part: Part,
  index: number,
  sectorSize: number | undefined,
): Parameters<typeof planDisk>[0][number] {
  const { definition, minimized } = part;
  const isContent = minimized || definition.copyBlocks !== undefined;
  let content = isContent && part.prepared !== undefined ? part.prepared.size + part.lead : part.least;
  const data = definition.verity === "hash" ? partner(parts, part) : undefined;
  const blocks = verityBlocksOf(definition, sectorSize);
  if (data !== undefined && minimized) {
    if (data.prepared === undefined)
      throw new ConfigError(
        `${describeDefinition(definition, index)}: Minimize= needs it for the data partition, too`,
        { code: "definition-invalid" },
      );
    content = veritySize(data.prepared.size, blocks);
  }
  // As systemd-repart: a hash tree has room for as much data as its partition may have.
  const dataLimit = data?.definition.sizeMax;
  const { designator } = part.identified.type;
  const isSignature = definition.verity === "signature" || designator?.endsWith("-verity-sig") === true;
  const isWritable =
    (definition.verity ?? "off") === "off" && (part.format === undefined || findFilesystem(part.format).writable);
  const minimum = isSignature
    ? veritySignatureSize
    : minimumSize({
        sizeMin: definition.sizeMin ?? (dataLimit === undefined ? undefined : veritySize(dataLimit, blocks)),
        content,
        format: leastOf(part),
        writable: isWritable && !(minimized && content !== undefined),
      });
  return {
    name: part.identified.label,
    priority: definition.priority ?? 0,
    weight: definition.weight ?? 1000,
    paddingWeight: definition.paddingWeight ?? 0,
    minimum,
    maximum: isSignature ? minimum : (definition.sizeMax ?? Infinity),
    paddingMinimum: definition.paddingMin ?? 0,
    paddingMaximum: definition.paddingMax ?? Infinity,
  };
}

/** The least that the format needs, in an encrypted partition with as much room for LUKS as systemd-repart leaves. */
function leastOf({ format, lead }: Part): number | undefined {
  const least = format === undefined ? undefined : findFilesystem(format).minimumSize;
  return lead === 0 ? least : 2 * lead + Math.max(grain, least ?? 0);
}
