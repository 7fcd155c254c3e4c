/**
 * docs/benchmarks.md: written from the results, never by hand.
 * @module
 */
import { formatDuration, formatSize } from "@imgtool/core";
import type { DemoResults } from "./demo.ts";
import type { Median } from "./statistics.ts";

export interface Results {
  readonly machine: { readonly cpus: number; readonly model: string; readonly memory: number };
  readonly rounds: number;
  readonly inputBytes: number;
  readonly cases: readonly Median[];
  readonly demo: DemoResults | undefined;
}

function table(group: string, rows: readonly Median[]): string[] {
  return [
    "",
    `## ${group}`,
    "",
    "| case | program | seconds | CPU seconds | peak memory | speed |",
    "| --- | --- | ---: | ---: | ---: | ---: |",
    ...rows.map(
      (row) =>
        `| ${row.name} | ${row.program} | ${row.seconds.toFixed(2)} | ${row.cpuSeconds.toFixed(2)} | ${formatSize(row.peakMemory)} | ${row.speed === undefined ? "" : `${row.speed.toFixed(2)}×`} |`,
    ),
  ];
}

export function report(results: Results): string {
  const { machine } = results;
  const lines = [
    "# Benchmarks",
    "",
    "Written by `npm run bench`; do not edit.",
    "",
    `Machine: ${machine.cpus} cores (${machine.model.trim()}), ${formatSize(machine.memory)} of memory. Inputs, stores and outputs on tmpfs, warm; medians of ${results.rounds} rounds, the programs in turn. Durability is off where it can be (casync has none). "speed" is casync's time over the program's.`,
    "",
    `The tar of /usr is cut to ${formatSize(results.inputBytes)}; the image has that size, too. The second version has one file in 12 changed from a third on, one in 60 removed and one in 60 added. casync's TMPDIR is on tmpfs, which is kind to it. imgtool is run as it is published, a bundle; Node.js and its modules take 0.1 s of every run, which is most of what a listing takes.`,
    ...[...Map.groupBy(results.cases, (row) => row.group)].flatMap(([group, rows]) => table(group, rows)),
  ];
  if (results.demo !== undefined) {
    lines.push(
      "",
      "## The demo: a Debian image built, published and fetched",
      "",
      "One run of `npm run demo`, outputs on tmpfs; peak memory is that of the whole process tree, package manager and file system tools included.",
      "",
      "| step | time | CPU seconds | peak memory |",
      "| --- | ---: | ---: | ---: |",
      ...results.demo.steps.map(
        (row) =>
          `| ${row.step} | ${formatDuration(row.seconds * 1000)} | ${row.cpuSeconds.toFixed(1)} | ${formatSize(row.peakMemory)} |`,
      ),
    );
  }
  return `${lines.join("\n")}\n`;
}
