/**
 * Shares blocks instead of copying bytes, on file systems that can (btrfs, XFS): of an output with its
 * seeds, and of an output with itself where content is repeated.
 *
 * A clone is a snapshot: a seed that is written to afterwards keeps its own blocks. What was cloned is
 * digested in the output before it counts, so that a seed that changed before costs a refetch.
 * @module
 */
import { readSync, writeSync } from "node:fs";
import { systemErrorCode } from "@imgtool/core";
import { cloneRange, punchHole } from "@imgtool/host";
import { pageSize } from "./data-extents.ts";
import { placesOf } from "./extract-plan.ts";
import { clear, findInPlace, type InPlaceOptions } from "./in-place.ts";
import type { SeedFile } from "./seed.ts";

/** Chunks that stand one after the other in the output and in the source. */
interface Run {
  readonly first: number;
  /** The position behind the last chunk. */
  end: number;
  /** Source offset less output offset, in bytes. */
  readonly distance: number;
}

/** What is shorter is not worth a system call and an extent of its own. */
const shortestShare = 16 * 1024;

/** Whether an output, of which nothing is written yet, can share blocks with a seed. */
export function canShare(seed: SeedFile, { descriptor }: InPlaceOptions["output"]): boolean {
  try {
    cloneRange(seed.descriptor, 0, pageSize, descriptor, 0);
  } catch (error) {
    if (unsupported.has(systemErrorCode(error))) return false;
    throw error;
  }
  punchHole(descriptor, 0, pageSize);
  return true;
}

/**
 * Lets a sparse output file share what it lacks with a seed.
 * @param isZero tells chunks that are left as holes
 */
export async function shareWithSeed(
  options: InPlaceOptions,
  seed: SeedFile,
  isZero: (i: number) => boolean,
): Promise<void> {
  const { index, plan, output } = options;
  const source = (i: number): number | undefined =>
    plan.inPlace[i] === 1 || isZero(i) ? undefined : seed.offsetOf(index.id(i));
  const cloned: number[] = [];
  for (const run of runsOf(options, source)) {
    const [start, end] = [index.start(run.first), index.end(run.end - 1)];
    const inner = cloneInner(seed.descriptor, output.descriptor, start, end, run.distance);
    if (inner === "unsupported") break;
    if (inner === undefined) continue;
    copyRange(seed.descriptor, output.descriptor, start, inner[0], run.distance);
    copyRange(seed.descriptor, output.descriptor, inner[1], end, run.distance);
    for (let i = run.first; i < run.end; i++) cloned.push(i);
  }
  if (cloned.length > 0) clear(options, await findInPlace(options, cloned));
}

/** Lets chunks that an output has in several places share their blocks: the output is complete. */
export function shareRepeats(options: InPlaceOptions, isZero: (i: number) => boolean): void {
  const { index, plan, output } = options;
  const sources = new Map<number, number>();
  for (let position = 0; position < plan.firsts.length; position++) {
    const first = plan.firsts[position] ?? 0;
    for (const i of placesOf(plan, position)) {
      // what was there before may share its blocks with a seed
      if (i !== first && plan.inPlace[i] !== 1 && !isZero(i)) sources.set(i, index.start(first));
    }
  }
  for (const run of runsOf(options, (i) => sources.get(i))) {
    const [start, end] = [index.start(run.first), index.end(run.end - 1)];
    // a run that begins in its own source would read what it writes
    const length = Math.min(end - start, Math.abs(run.distance));
    const { descriptor } = output;
    if (cloneInner(descriptor, descriptor, start, start + length, run.distance) === "unsupported") return;
  }
}

/** Joins neighbours; only distances in whole pages can be shared. */
function* runsOf({ index }: InPlaceOptions, source: (i: number) => number | undefined): Generator<Run, void> {
  let run: Run | undefined;
  for (let i = 0; i < index.count; i++) {
    const offset = source(i);
    const distance = offset === undefined ? NaN : offset - index.start(i);
    if (run !== undefined && run.end === i && run.distance === distance) {
      run.end = i + 1;
      continue;
    }
    if (run !== undefined) yield run;
    run = distance % pageSize === 0 ? { first: i, end: i + 1, distance } : undefined;
  }
  if (run !== undefined) yield run;
}

/** The file system, or the pair of files, cannot; `EINVAL` also where blocks are larger than pages. */
const unsupported: ReadonlySet<string | undefined> = new Set([
  "EOPNOTSUPP",
  "ENOTSUP",
  "EXDEV",
  "EINVAL",
  "ENOTTY",
  "EPERM",
  "ETXTBSY",
]);

/**
 * Clones the whole pages of a range.
 * @returns their range; undefined when there are too few of them
 */
function cloneInner(
  source: number,
  target: number,
  start: number,
  end: number,
  distance: number,
): readonly [number, number] | "unsupported" | undefined {
  const from = Math.ceil(start / pageSize) * pageSize;
  const to = Math.floor(end / pageSize) * pageSize;
  if (to - from < shortestShare) return undefined;
  try {
    cloneRange(source, from + distance, to - from, target, from);
    return [from, to];
  } catch (error) {
    if (unsupported.has(systemErrorCode(error))) return "unsupported";
    throw error;
  }
}

/** Copies a range of less than a page. A source that has become shorter leaves zeros, and is found out. */
function copyRange(source: number, target: number, from: number, to: number, distance: number): void {
  if (from >= to) return;
  const bytes = Buffer.alloc(to - from);
  const count = readSync(source, bytes, 0, bytes.length, from + distance);
  for (let at = 0; at < count;) at += writeSync(target, bytes, at, count - at, from + at);
}
