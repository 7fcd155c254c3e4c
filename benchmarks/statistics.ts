/**
 * Medians of the rounds.
 * @module
 */
import type { Measurement } from "../scripts/measure.ts";

export interface Sample extends Measurement {
  /** The case: the heading it stands under, and its name. */
  readonly group: string;
  readonly name: string;
  readonly program: string;
}

export interface Median {
  /** The case: the heading it stands under, and its name. */
  readonly group: string;
  readonly name: string;
  readonly program: string;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakMemory: number;
  /** The peer's median seconds over this program's: above 1 is faster than the peer. */
  readonly speed: number | undefined;
  /** The same of the CPU seconds. */
  readonly thrift: number | undefined;
}

function middle(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Rows to `peer`, one for each case and program, in the order they were first measured. */
export function median(samples: readonly Sample[], peer: string): Median[] {
  const groups = Map.groupBy(samples, (sample) => [sample.group, sample.name, sample.program].join("\0"));
  const rows = [...groups.values()].map((group) => ({
    group: group[0]?.group ?? "",
    name: group[0]?.name ?? "",
    program: group[0]?.program ?? "",
    seconds: middle(group.map((sample) => sample.seconds)),
    cpuSeconds: middle(group.map((sample) => sample.cpuSeconds)),
    peakMemory: middle(group.map((sample) => sample.peakMemory)),
  }));
  return rows.map((row) => {
    const other = rows.find(({ group, name, program }) => group === row.group && name === row.name && program === peer);
    if (other === undefined) return { ...row, speed: undefined, thrift: undefined };
    return { ...row, speed: other.seconds / row.seconds, thrift: other.cpuSeconds / row.cpuSeconds };
  });
}
