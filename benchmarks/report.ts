/**
 * docs/benchmarks.md: written from the results, never by hand.
 * @module
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatDuration, formatSize } from "@imgtool/core";
import type { DemoResults } from "./demo.ts";
import type { Limit } from "./limits.ts";
import type { Median } from "./statistics.ts";
import type { VerityResults } from "./verity.ts";

/** What benchmarks/builds.ts has measured. */
export interface BuildResults {
  readonly machine: Results["machine"];
  readonly rounds: number;
  readonly distribution: string;
  /** What mkosi calls itself, where it was there. */
  readonly mkosi: string | undefined;
  readonly cases: readonly Median[];
}

export interface Results {
  readonly machine: { readonly cpus: number; readonly model: string; readonly memory: number };
  readonly rounds: number;
  readonly inputBytes: number;
  readonly cases: readonly Median[];
  readonly limits?: readonly Limit[] | undefined;
  readonly demo: DemoResults | undefined;
  readonly builds?: BuildResults | undefined;
  readonly verity?: VerityResults | undefined;
}

/** The results that are written in a folder. */
export function readResults(folder: string): Results {
  return JSON.parse(readFileSync(join(folder, "benchmarks.json"), "utf8")) as Results;
}

/** Writes the results, and the page that is made of them. */
export function writeResults(folder: string, results: Results): void {
  writeFileSync(join(folder, "benchmarks.json"), `${JSON.stringify(results, undefined, 2)}\n`);
  writeFileSync(join(folder, "benchmarks.md"), report(results));
  console.error(`written: benchmarks.md and benchmarks.json in ${folder}`);
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

function buildLines({ machine, rounds, distribution, mkosi, cases }: BuildResults): string[] {
  return [
    "",
    "## Builds",
    "",
    `Written by \`npm run bench:builds\`. Machine: ${machine.cpus} cores (${machine.model.trim()}), ${formatSize(machine.memory)} of memory. ${distribution}; the same mirror, settings and packages for both${mkosi === undefined ? "" : ` (${mkosi})`}, whose packages are downloaded already; projects on tmpfs; medians of ${rounds} rounds, in turn. CPU seconds are those of the whole process tree; "speed" and "thrift" are mkosi's time and CPU seconds over the program's.`,
    "",
    "| build | program | seconds | CPU seconds | peak memory | speed | thrift |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ...cases.map(
      (row) =>
        `| ${row.name} | ${row.program} | ${row.seconds.toFixed(2)} | ${row.cpuSeconds.toFixed(2)} | ${formatSize(row.peakMemory)} | ${ratio(row.speed)} | ${ratio(row.thrift)} |`,
    ),
  ];
}

function limitLines(machine: Results["machine"], limits: readonly Limit[]): string[] {
  const least = (of: "make" | "extract"): string => {
    const seconds = limits.filter((limit) => limit[of]).reduce((sum, limit) => sum + limit.secondsPerGibibyte, 0);
    return `${seconds.toFixed(2)} CPU seconds, so that ${machine.cpus} processors take ${(seconds / machine.cpus).toFixed(2)} s at least`;
  };
  return [
    "",
    "## What limits the ratios",
    "",
    "What each part costs one processor, measured in the same run, for a GiB of the tar:",
    "",
    "| part | CPU seconds | rate |",
    "| --- | ---: | ---: |",
    ...limits.map(
      ({ part, secondsPerGibibyte: seconds }) =>
        `| ${part} | ${seconds.toFixed(2)} | ${formatSize(1024 ** 3 / seconds)}/s |`,
    ),
    "",
    `A make whose chunks are all there is the first three: ${least("make")}. An extraction is the last three: ${least("extract")}. Node.js takes 0.1 s before anything else, and each thread 0.05 s. casync and imgtool digest with equally fast code; what imgtool gains is in cutting and in the second processor.`,
    "",
    "Tried, without gain: several places cut at the same time in WebAssembly (two, three and four lanes cut as fast as one: the processor's width is what counts, not the wait from step to step); a pool of threads for the reads of a mount. Listings, and makes with a cache, are system calls for each file: Node.js takes some 5 µs more for each than a C program, and casync takes 13 µs for all of a file.",
  ];
}

function verityLines({ size, seconds, veritysetupSeconds, limit }: VerityResults): string[] {
  const rate = size / seconds;
  return [
    "",
    "## dm-verity",
    "",
    `The hash tree of ${formatSize(size)}: ${seconds.toFixed(2)} s, ${formatSize(rate)} a second, ${((rate / limit) * 100).toFixed(0)} % of what \`openssl speed\` says that all processors can hash in blocks of 4096 bytes (${formatSize(limit)} a second).${veritysetupSeconds === undefined ? "" : ` veritysetup takes ${veritysetupSeconds.toFixed(2)} s.`}`,
  ];
}

function ratio(value: number | undefined): string {
  return value === undefined ? "" : `${value.toFixed(2)}×`;
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
  if (results.limits !== undefined) lines.push(...limitLines(machine, results.limits));
  if (results.verity !== undefined) lines.push(...verityLines(results.verity));
  if (results.builds !== undefined) lines.push(...buildLines(results.builds));
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
