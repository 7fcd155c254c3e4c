/**
 * Assembles a disk image: file systems from a tree, their hash trees, and the partition table, written
 * straight into a sparse file. No loop devices, no device-mapper, no mounts, no root.
 * @module
 */
import { closeSync, fsyncSync, openSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { formatSize, silentProgress, throwIfAborted, toHex } from "@imgtool/core";
import { checkDefinitions, checkSigner } from "./check-definitions.ts";
import { copyRanges } from "./copy-ranges.ts";
import { describePartitions } from "./describe-partitions.ts";
import type { DiskOptions, DiskResult, UnfinishedDisk } from "./disk-options.ts";
import { encodeGpt } from "./gpt.ts";
import { diskUuid } from "./identifiers.ts";
import { isOpen, type Part } from "./part.ts";
import { partsOf } from "./parts-of.ts";
import type { DiskPlan } from "./plan.ts";
import { prepare, prepareSmallest } from "./prepare-part.ts";
import { encryptParts, hashParts, signParts } from "./protect-parts.ts";
import { planAndPrepare, planOpen, warnOfSize } from "./size-parts.ts";
import { SparseFile } from "./sparse-file.ts";

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
  const parts = partsOf(options);
  if (parts.some(isOpen)) {
    if (options.size !== undefined)
      throw new RangeError("a partition whose size is known last needs a disk without one");
    // What is behind an open partition moves once that has its size.
    const begun = join(options.workspace ?? dirname(options.output), ".partitions");
    return await orRemove([begun], async () => await begin({ ...options, output: begun }, parts, options.output));
  }
  return await orRemove([options.output], async () => await begin(options, parts, options.output));
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
  const { plan, before } = await planOpen(options, parts);
  const ranges = parts.flatMap(({ last, placement: { offset: to, size } }, index) =>
    last ? [] : [{ from: before[index]?.offset ?? 0, to, size }],
  );
  await copyRanges({ source: begun, target: options.output, size: plan.size, ranges, signal: options.signal });
  await rm(begun);
  return plan;
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
