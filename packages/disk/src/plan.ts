/**
 * Where partitions go and how large they become: systemd-repart(8)'s arithmetic for an empty disk, so
 * that the same definitions give the same offsets. 4 KiB grain, first partition at 1 MiB.
 * @module
 */
import { ConfigError, formatSize } from "@imgtool/core";
import { gptTailSize } from "./gpt.ts";

/** Sizes and offsets are multiples of this. */
export const grain = 4096;
/** Where the first partition begins. */
export const firstOffset: number = 1024 ** 2;
/** What a partition gets without SizeMinBytes=. */
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
  /** One for each request, in order. */
  readonly placements: readonly Placement[];
}

/** The least size of a partition: its content, its file system's minimum, SizeMinBytes= or 10 MiB. */
export function minimumSize(request: {
  readonly sizeMin: number | undefined;
  /** Bytes of what goes in, where it is made already. */
  readonly content: number | undefined;
  /** The format's own minimum. */
  readonly format: number | undefined;
  readonly minimized: boolean;
}): number {
  const needed =
    request.content === undefined ? Math.max(grain, roundUp(request.format ?? grain)) : roundUp(request.content);
  const configured = request.sizeMin ?? (request.minimized ? 0 : defaultMinimum);
  return Math.max(roundUp(configured), needed);
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
    return request === undefined ? 0 : Math.min(request.minimum, request.maximum) + request.paddingMinimum;
  };
  const sum = (): number => active.reduce((total, index) => total + need(index), 0);
  const whole = size ?? firstOffset + sum() + tailReserve;
  const span = roundDown(whole - gptTailSize(sectorSize)) - firstOffset;
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
  let offset = firstOffset;
  for (const [position, index] of active.entries()) {
    const { size = 0, padding = 0 } = sizes[position] ?? {};
    placements[index] = { placed: true, offset, size };
    offset += size + padding;
  }
  return { size: whole, placements };
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
      minimum: Math.min(request.minimum, request.maximum),
      maximum: request.maximum,
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
