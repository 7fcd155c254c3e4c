/**
 * `npm run demo`: the whole way on a real Debian image. Builds examples/minimal twice, publishes both
 * versions, serves the store over HTTP on loopback and fetches the second version with the first as
 * the seed. What it runs is what you would type; it prints each command.
 *
 * `--results=FILE` also writes every number as JSON.
 * @module
 */
import { spawn } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { cp, mkdir, open, readFile, rm, writeFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { formatDuration, formatSize } from "@imgtool/core";
import { measure } from "./measure.ts";

const root = join(import.meta.dirname, "..");
const imgtool = join(root, "imgtool");
const { values: flags } = parseArgs({ options: { results: { type: "string" }, output: { type: "string" } } });
const output = flags.output ?? join(root, "demo-output");

interface DemoStep {
  readonly step: string;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakMemory: number;
}
const steps: DemoStep[] = [];

/** The parts of the results of `publish` and `extract` that the table shows. */
interface PublishResult {
  readonly artifacts: readonly {
    readonly kind: string;
    readonly size: number;
    readonly chunks: number;
    readonly newChunks: number;
    readonly newBytes: number;
  }[];
}
interface ExtractResult {
  readonly bytes: number;
  readonly bytesFetched: number;
  readonly requests: number;
  readonly fromSeeds: number;
  readonly fromStores: number;
}

/** Runs one imgtool command as a person would, with its display on the terminal; returns its result. */
async function run<T>(step: string, args: readonly string[]): Promise<T> {
  const resultFile = join(output, "result.json");
  console.error(`\n$ imgtool ${args.join(" ")}`);
  const measured = await measure(imgtool, [...args, `--result-file=${resultFile}`], {
    cwd: output,
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (measured.exitCode !== 0) {
    console.error(`\nthe demo stops here: the command above exited with ${measured.exitCode}`);
    process.exit(measured.exitCode);
  }
  steps.push({ step, seconds: measured.seconds, cpuSeconds: measured.cpuSeconds, peakMemory: measured.peakMemory });
  const result = JSON.parse(await readFile(resultFile, "utf8")) as T;
  await rm(resultFile);
  return result;
}

/** Starts `imgtool serve` on a free port; returns its URL and a function that stops it. */
async function serve(directory: string): Promise<{ url: string; stop: () => Promise<void> }> {
  console.error(`\n$ imgtool serve ${directory} &`);
  const server = spawn(imgtool, ["serve", directory, "--port=0", "--json"], {
    cwd: output,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise<void>((resolve) => server.on("close", () => resolve()));
  for await (const line of createInterface({ input: server.stdout })) {
    const event = JSON.parse(line) as { type: string; url?: string };
    if (event.type === "result" && event.url !== undefined) {
      return {
        url: event.url,
        stop: async () => {
          server.kill("SIGTERM");
          await ended;
        },
      };
    }
  }
  throw new Error("imgtool serve ended before it listened");
}

/** Compares two files block by block; returns the first offset where they differ, or undefined. */
async function firstDifference(a: string, b: string): Promise<number | undefined> {
  await using left = await open(a);
  await using right = await open(b);
  const [sizeLeft, sizeRight] = [(await left.stat()).size, (await right.stat()).size];
  const blockSize = 4 * 1024 ** 2;
  const [blockLeft, blockRight] = [Buffer.alloc(blockSize), Buffer.alloc(blockSize)];
  for (let offset = 0; offset < Math.max(sizeLeft, sizeRight); offset += blockSize) {
    const [readLeft, readRight] = [
      (await left.read(blockLeft, 0, blockSize, offset)).bytesRead,
      (await right.read(blockRight, 0, blockSize, offset)).bytesRead,
    ];
    if (!blockLeft.subarray(0, readLeft).equals(blockRight.subarray(0, readRight))) return offset;
  }
  return undefined;
}

await rm(output, { recursive: true, force: true });
await mkdir(output, { recursive: true });
// The project is copied so that the checkout stays clean; its package cache serves both builds.
const project = join(output, "minimal");
await cp(join(root, "examples/minimal"), project, { recursive: true });
await mkdir(join(project, "mkosi.cache"), { recursive: true });
await mkdir(join(project, "mkosi.output"), { recursive: true });

await run("build version 1", ["build", "-C", "minimal", "--image-version=1"]);
const first = await run<PublishResult>("publish version 1", ["publish", "-C", "minimal", "--image-version=1", "www"]);

// Version 2: a package and a file more.
const news = join(project, "mkosi.extra/usr/share/doc/minimal/NEWS");
await mkdir(dirname(news), { recursive: true });
await writeFile(news, "Version 2 has an editor.\n");
await run("build version 2", ["build", "-C", "minimal", "--image-version=2", "-p", "nano"]);
const second = await run<PublishResult>("publish version 2", ["publish", "-C", "minimal", "--image-version=2", "www"]);

const server = await serve("www");
let fetched: ExtractResult;
try {
  fetched = await run<ExtractResult>("fetch version 2, version 1 as seed", [
    "extract",
    "--seed=minimal/mkosi.output/minimal_1.raw",
    `${server.url}minimal_2.raw.caibx`,
    "fetched.raw",
  ]);
} finally {
  await server.stop();
}

const difference = await firstDifference(join(output, "fetched.raw"), join(project, "mkosi.output/minimal_2.raw"));
if (difference !== undefined) {
  console.error(`error: the fetched image differs from the built one at offset ${difference}`);
  process.exit(1);
}
console.error("\nthe fetched image is byte for byte the one that was built\n");
console.log(table([first, second], fetched));
if (flags.results !== undefined)
  await writeFile(flags.results, `${JSON.stringify({ steps, first, second, fetched }, undefined, 2)}\n`);
console.error(`\nEverything is in ${output}: try ./imgtool list, digest or extract on it.`);

/** The short table: what was made, what the update cost, and the time of each step. */
function table(published: readonly PublishResult[], extracted: ExtractResult): string {
  const rows: (readonly string[])[] = [["", "image", "chunks", "new chunks", "store grew by"]];
  for (const [index, { artifacts }] of published.entries()) {
    const image = artifacts.find(({ kind }) => kind === "blob");
    if (image === undefined) continue;
    rows.push([
      `version ${index + 1}`,
      formatSize(image.size),
      String(image.chunks),
      String(image.newChunks),
      formatSize(image.newBytes),
    ]);
  }
  const share = ((extracted.bytesFetched / extracted.bytes) * 100).toFixed(1);
  const lines = [
    ...aligned(rows),
    "",
    `store size             ${formatSize(directorySize(join(output, "www/default.castr")))}`,
    `the update fetched     ${formatSize(extracted.bytesFetched)} of ${formatSize(extracted.bytes)} (${share} %), in ${extracted.requests} requests`,
    `chunks from the seed   ${extracted.fromSeeds}, from the store ${extracted.fromStores}`,
    "",
    ...aligned([
      ["step", "time", "CPU", "peak memory"],
      ...steps.map(({ step, seconds, cpuSeconds, peakMemory }) => [
        step,
        formatDuration(seconds * 1000),
        formatDuration(cpuSeconds * 1000),
        formatSize(peakMemory),
      ]),
    ]),
  ];
  return lines.join("\n");
}

/** Columns as wide as their widest cell; the first to the left, the others to the right. */
function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("   ")
      .trimEnd(),
  );
}

/** Sum of the sizes of all files below a directory, in bytes. */
function directorySize(path: string): number {
  const files = readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files.reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}
