/**
 * Where partitions go and how large they become: systemd-repart(8)'s arithmetic for an empty disk, so
 * that the same definitions give the same offsets. 4 KiB grain, first partition at 1 MiB; on disks too small
 * for that, behind the table.
 * @module
 */
import { ConfigError, formatSize } from "@imgtool/core";
import { gptTailSize } from "./gpt.ts";

/** Sizes and offsets are multiples of this. */
export const grain = 4096;
/** Where the first partition begins. */
export const firstOffset: number = 1024 ** 2;
/** Disks of at most so many bytes are not aligned to 1 MiB (libfdisk). */
export const largestUnaligned: number = 4 * 1024 ** 2;
/** What a partition gets without SizeMinBytes=, where something may be written to it. */
const defaultMinimum: number = 10 * 1024 ** 2;
const tailReserve = 20 * 1024;

export interface SizeRequest {
  /** For messages. */
  readonly name: string;
  readonly priority: number;
  readonly weight: number;
  readonly paddingWeight: number;
  /** The least it can have; see `minimumSize`. */
  readonly minimum: number;
  /** Infinity for no limit. */
  readonly maximum: number;
  readonly paddingMinimum: number;
  readonly paddingMaximum: number;
}

export interface Placement {
  /** False when it was left out for lack of space. */
  readonly placed: boolean;
  readonly offset: number;
  readonly size: number;
}

export interface DiskPlan {
  /** Bytes of the disk. */
  readonly size: number;
  /** The first byte that a partition may have. */
  readonly firstUsable: number;
  /** One for each request, in order. */
  readonly placements: readonly Placement[];
}

/** The least size of a partition: its content, its file system's minimum, SizeMinBytes= or the default. */
export function minimumSize(request: {
  readonly sizeMin: number | undefined;
  /** Bytes of what goes in, where it is made already. */
  readonly content: number | undefined;
  /** The format's own minimum. */
  readonly format: number | undefined;
  /** Whether what is in it can change: only then there is room for it by default. */
  readonly writable: boolean;
}): number {
  const configured = request.sizeMin ?? (request.writable ? defaultMinimum : 0);
  return Math.max(grain, ...[configured, request.content ?? 0, request.format ?? 0].map(roundUp));
}

/** Rounds up to the grain. */
function roundUp(size: number): number {
  return Math.ceil(size / grain) * grain;
}

function roundDown(size: number): number {
  return Math.floor(size / grain) * grain;
}

/**
 * Places partitions on a disk of `size` bytes, or on one as small as they need.
 * @throws ConfigError `disk-too-small` when even those of priority 0 do not fit
 */
export function planDisk(requests: readonly SizeRequest[], size?: number, sectorSize = 512): DiskPlan {
  let active = requests.map((_, index) => index);
  const need = (index: number): number => {
    const request = requests[index];
    return request === undefined ? 0 : request.minimum + request.paddingMinimum;
  };
  const sum = (): number => active.reduce((total, index) => total + need(index), 0);
  const whole = size ?? firstOffset + sum() + tailReserve;
  const tailSize = gptTailSize(sectorSize);
  const isAligned = whole > largestUnaligned;
  // The protective record and the header have a sector each, and the entries are as large as at the end.
  const firstUsable = isAligned ? firstOffset : tailSize + sectorSize;
  const first = isAligned ? firstOffset : roundUp(firstUsable);
  const span = roundDown(whole - tailSize) - first;
  while (sum() > span) {
    const worst = Math.max(...active.map((index) => requests[index]?.priority ?? 0));
    if (active.length === 0 || worst <= 0)
      throw new ConfigError(
        `the partitions need ${formatSize(sum())} (${sum()} bytes), the disk of ${formatSize(whole)} has ${formatSize(Math.max(0, span))}: ${formatSize(sum() - span)} are missing`,
        {
          code: "disk-too-small",
          hint: "make the disk larger, or give partitions that may be left out a Priority= above 0",
          data: { needed: sum(), available: span, missing: sum() - span },
        },
      );
    // The last of the least important goes first.
    const drop = active.findLast((index) => requests[index]?.priority === worst);
    active = active.filter((index) => index !== drop);
  }
  const sizes = distribute(
    active.map((index) => requests[index]).filter((request) => request !== undefined),
    span,
  );
  const placements: Placement[] = requests.map(() => ({ placed: false, offset: 0, size: 0 }));
  let offset = first;
  for (const [position, index] of active.entries()) {
    const { size = 0, padding = 0 } = sizes[position] ?? {};
    placements[index] = { placed: true, offset, size };
    offset += size + padding;
  }
  return { size: whole, firstUsable, placements };
}

interface Share {
  readonly weight: number;
  readonly minimum: number;
  readonly maximum: number;
  size: number | undefined;
}

/** Divides the span by weight within minimum and maximum: partitions and the paddings after them alike. */
function distribute(requests: readonly SizeRequest[], whole: number): { size: number; padding: number }[] {
  const shares: Share[] = requests.flatMap((request) => [
    {
      weight: request.weight,
      minimum: request.minimum,
      // As systemd-repart: what a partition needs counts for more than SizeMaxBytes=.
      maximum: Math.max(request.minimum, request.maximum),
      size: undefined,
    },
    {
      weight: request.paddingWeight,
      minimum: request.paddingMinimum,
      maximum: request.paddingMaximum,
      size: undefined,
    },
  ]);
  let span = BigInt(whole);
  let weights = shares.reduce((sum, share) => sum + BigInt(share.weight), 0n);
  const fix = (share: Share, size: number): void => {
    share.size = size;
    span = span > BigInt(size) ? span - BigInt(size) : 0n;
    weights -= BigInt(share.weight);
  };
  const portion = (share: Share): number => (weights === 0n ? 0 : Number((span * BigInt(share.weight)) / weights));
  // First those whose minimum is more than their share, then those whose maximum is less: each changes the
  // shares of all others, so begin anew until nothing changes.
  const settle = (choose: (share: Share, portion: number) => number | undefined): void => {
    for (let again = true; again;) {
      again = false;
      for (const share of shares) {
        if (share.size !== undefined) continue;
        const size = choose(share, portion(share));
        if (size === undefined) continue;
        fix(share, size);
        again = true;
      }
    }
  };
  settle((share, portion) => (share.minimum > portion ? share.minimum : undefined));
  settle((share, portion) => (share.maximum < portion ? share.maximum : undefined));
  for (const share of shares)
    if (share.size === undefined) fix(share, Math.max(roundDown(portion(share)), share.minimum));
  // What rounding left goes to the first partitions that may have it.
  for (let index = 0; index < shares.length && span > 0n; index += 2) {
    const share = shares[index];
    if (share?.size === undefined) continue;
    const more = Math.min(Number(span), share.maximum - share.size);
    if (more <= 0) continue;
    share.size += roundDown(more);
    span -= BigInt(roundDown(more));
  }
  return requests.map((_, index) => ({
    size: shares[2 * index]?.size ?? 0,
    padding: shares[2 * index + 1]?.size ?? 0,
  }));
}
