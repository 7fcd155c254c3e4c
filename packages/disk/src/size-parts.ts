/**
 * Settles how large the partitions become: what each asks for, and again when one turns out to need more.
 * @module
 */
import { ConfigError, formatSize, silentProgress, type Progress } from "@imgtool/core";
import { describeDefinition, verityBlocksOf } from "./definitions.ts";
import type { DiskOptions } from "./disk-options.ts";
import { findFilesystem } from "./filesystems/index.ts";
import { isOpen, partner, type Part } from "./part.ts";
import { type DiskPlan, firstOffset, grain, largestUnaligned, minimumSize, type Placement, planDisk } from "./plan.ts";
import { prepare, prepareSmallest } from "./prepare-part.ts";
import { veritySize } from "./verity-file.ts";
import { veritySignatureSize } from "./verity-signature.ts";

/** Settles all sizes, and prepares what fills its partition. */
export async function planAndPrepare(options: DiskOptions, parts: readonly Part[]): Promise<DiskPlan> {
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
export function warnOfSize({ definition, placement }: Part, index: number, progress: Progress): void {
  const { sizeMax = Infinity, verity } = definition;
  if (!placement.placed || placement.size <= sizeMax || verity === "signature") return;
  const more = `${placement.size - sizeMax} bytes more than SizeMaxBytes=`;
  progress.log(
    "warning",
    `${describeDefinition(definition, index)}: it has ${formatSize(placement.size)}, ${more}: its content or format needs them`,
  );
}

/**
 * Gives the open partitions their sizes, and all of them their places.
 * @returns the plan, and where those that are written already were before
 */
export async function planOpen(
  options: DiskOptions,
  parts: readonly Part[],
): Promise<{ readonly plan: DiskPlan; readonly before: readonly Placement[] }> {
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
  return { plan, before };
}

/**
 * Bytes that a partition has at most on a disk which is as small as it can be: every partition has its least
 * size there, and only the smallest disks begin before the first aligned byte, and may give what that leaves.
 */
export function mostOf(parts: readonly Part[], part: Part, index: number, sectorSize: number | undefined): number {
  const { minimum } = request(parts, part, index, sectorSize);
  return minimum > largestUnaligned ? minimum : minimum + firstOffset;
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
