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
import { diskUuid, fileSystemUuid, luksUuid, veritySalt, verityPartitionUuids, verityUuid } from "./identifiers.ts";
import { encryptFile, formatLuks, luksDataOffset, luksLabelLimit, luksSectorSize } from "./luks/index.ts";
import { readPassphrases } from "./passphrases.ts";
import { identifyPartitions, type IdentifiedPartition } from "./identify.ts";
import { grain, minimumSize, planDisk, type Placement } from "./plan.ts";
import { SparseFile } from "./sparse-file.ts";
import { excludedFromRoot } from "./tree/exclude.ts";
import { scanTree } from "./tree/scan.ts";
import { makeVerity, veritySize } from "./verity-file.ts";
import { signRootHash, veritySignatureSize, type VeritySignature } from "./verity-signature.ts";

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
  /** Signs root hashes; signature partitions need it. */
  readonly veritySigner?: Signer | undefined;
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

interface Part {
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
  placement: Placement;
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
  checkSigner(options.definitions, options.veritySigner);
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
    partitions: describe(parts, rootHashes),
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
  const partitions = describe(parts, rootHashes);
  const regions = encodeGpt({
    diskUuid: disk,
    size,
    ...(options.sectorSize === undefined ? {} : { sectorSize: options.sectorSize }),
    partitions: partitions.map((partition) => ({ ...partition, type: partition.typeUuid })),
  });
  for (const { offset, bytes } of regions) file.write(offset, bytes);
  const signatures = signParts(options, parts, rootHashes);
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
    label: truncate(definition.volumeLabel ?? identified.label, driver.labelLimit),
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

/** The longest beginning of a text that has at most so many bytes. */
function truncate(text: string, limit: number): string {
  let whole = "";
  let length = 0;
  for (const character of text) {
    length += Buffer.byteLength(character);
    if (length > limit) break;
    whole += character;
  }
  return whole;
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

function partner(parts: readonly Part[], part: Part): Part | undefined {
  const wanted = part.definition.verity === "hash" ? "data" : "hash";
  return parts.find(
    (other) => other.definition.verity === wanted && other.definition.verityMatchKey === part.definition.verityMatchKey,
  );
}

/** Encrypts what the encrypted partitions hold, and puts LUKS headers before it. */
async function encryptParts(options: DiskOptions, parts: readonly Part[], file: SparseFile): Promise<void> {
  for (const { passphrase, placement, identified, prepared, lead } of parts) {
    if (passphrase === undefined || !placement.placed) continue;
    const volume = await formatLuks({
      uuid: luksUuid(identified.uuid),
      label: truncate(identified.label, luksLabelLimit),
      passphrase,
      sectorSize: luksSectorSize,
      keys: options.encryptionKeys ?? "derived",
    });
    for (const { offset, bytes } of volume.header) file.write(placement.offset + offset, bytes);
    file.flush();
    if (prepared === undefined) continue;
    await encryptFile({
      path: options.output,
      offset: placement.offset + lead,
      size: prepared.size,
      volumeKey: volume.volumeKey,
      sectorSize: volume.sectorSize,
      label: identified.label,
      progress: options.progress,
      signal: options.signal,
    });
  }
}

/** Makes the hash trees; the root hash of each data and hash partition. */
async function hashParts(options: DiskOptions, parts: readonly Part[]): Promise<Map<Part, Uint8Array>> {
  const hashes = new Map<Part, Uint8Array>();
  for (const [index, part] of parts.entries()) {
    if (part.definition.verity !== "hash" || !part.placement.placed) continue;
    const data = partner(parts, part);
    if (data?.prepared === undefined || !data.placement.placed) continue;
    const dataSize = data.prepared.size;
    const needed = veritySize(dataSize);
    if (needed > part.placement.size)
      throw new ConfigError(
        `${describeDefinition(part.definition, index)}: the hash tree needs ${needed} bytes, ${needed - part.placement.size} more than the ${part.placement.size} there are`,
        {
          code: "hash-tree-full",
          hint: "raise SizeMinBytes= or set Minimize=best",
          data: { needed, size: part.placement.size, missing: needed - part.placement.size },
        },
      );
    const { rootHash } = await makeVerity({
      data: options.output,
      dataOffset: data.placement.offset,
      dataSize,
      output: options.output,
      outputOffset: part.placement.offset,
      uuid: verityUuid(options.seed),
      salt: veritySalt(options.seed),
      progress: options.progress,
      signal: options.signal,
    });
    hashes.set(part, rootHash);
    hashes.set(data, rootHash);
    const signature = parts.find(
      ({ definition }) =>
        definition.verity === "signature" && definition.verityMatchKey === part.definition.verityMatchKey,
    );
    if (signature !== undefined) hashes.set(signature, rootHash);
  }
  return hashes;
}

/** Signs the root hash of each signature partition. */
function signParts(
  { veritySigner }: DiskOptions,
  parts: readonly Part[],
  rootHashes: ReadonlyMap<Part, Uint8Array>,
): Map<Part, VeritySignature> {
  const signatures = new Map<Part, VeritySignature>();
  for (const part of parts) {
    const rootHash = rootHashes.get(part);
    if (part.definition.verity !== "signature" || !part.placement.placed) continue;
    if (rootHash !== undefined && veritySigner !== undefined)
      signatures.set(part, signRootHash(rootHash, veritySigner));
  }
  return signatures;
}

function describe(parts: readonly Part[], rootHashes: ReadonlyMap<Part, Uint8Array>): DiskPartition[] {
  return parts
    .filter((part) => part.placement.placed)
    .map((part, index): DiskPartition => {
      const { identified, definition, placement, passphrase } = part;
      const format = formatOf(definition);
      const number = index + 1;
      const rootHash = rootHashes.get(part);
      const uuids = rootHash === undefined ? undefined : verityPartitionUuids(rootHash);
      const { verity } = definition;
      const uuid = (verity === "hash" || verity === "data" ? uuids?.[verity] : undefined) ?? identified.uuid;
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
        ...splitName(definition, { number, type: identified.type, uuid }),
      };
    });
}

/** SplitName= with its own specifiers; a placeholder has nothing to split off. */
function splitName(
  { splitName = "%t", format }: PartitionDefinition,
  partition: { readonly number: number; readonly type: IdentifiedPartition["type"]; readonly uuid: string },
): { readonly splitName?: string } {
  if (splitName === "-" || format === "empty") return {};
  const values: Readonly<Record<string, string>> = {
    t: partition.type.name,
    T: partition.type.uuid,
    U: partition.uuid,
    n: String(partition.number),
    "%": "%",
  };
  return { splitName: splitName.replaceAll(/%([tTUn%])/g, (_, letter: string) => values[letter] ?? "") };
}
