/**
 * `npm run bench`: measures imgtool beside casync in one run on the same warm input, and the demo's
 * steps, and writes docs/benchmarks.md and docs/benchmarks.json.
 *
 * Inputs, stores and outputs lie on tmpfs (/dev/shm), so that no disk is measured. Each case runs
 * `--rounds` times with the programs in turn; the tables hold medians and ratios to casync. The cases
 * that show how much memory large inputs take run once.
 * @module
 */
import { mkdirSync, rmSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { measure } from "../scripts/measure.ts";
import { type BenchmarkCase, cases, memoryCases } from "./cases.ts";
import { demoSteps } from "./demo.ts";
import { makeInputs } from "./inputs.ts";
import { measureLimits } from "./limits.ts";
import { median, type Sample } from "./statistics.ts";
import { measureVerity } from "./verity.ts";
import { buildProgram } from "./program.ts";
import { readResults, writeResults, type Results } from "./report.ts";
import { startWebServer } from "./web-server.ts";

const { values: flags } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    size: { type: "string", default: "1024" },
    "no-demo": { type: "boolean", default: false },
    "no-memory": { type: "boolean", default: false },
    // keeps what is written of the rest
    "only-verity": { type: "boolean", default: false },
    // where the page and the JSON go: elsewhere for a trial
    output: { type: "string", default: join(import.meta.dirname, "../docs") },
  },
});
const rounds = Number(flags.rounds);
const megabytes = Number(flags.size);
const root = join(import.meta.dirname, "..");
const work = "/dev/shm/imgtool-bench";

rmSync(work, { recursive: true, force: true });
mkdirSync(work, { recursive: true });
try {
  const measured = flags["only-verity"] ? {} : await measureAll();
  const verity = await measureVerity(work, rounds);
  writeResults(flags.output, { ...readResults(flags.output), ...measured, verity });
} finally {
  rmSync(work, { recursive: true, force: true });
}

async function measureAll(): Promise<Omit<Results, "builds" | "verity">> {
  const imgtool = buildProgram(work);
  console.error(`making the inputs, of ${megabytes} MiB each`);
  const inputs = makeInputs(work, megabytes);
  const temporary = join(work, "tmp");
  mkdirSync(temporary);
  const samples: Sample[] = [];
  const run = async (benchmark: BenchmarkCase): Promise<void> => {
    for (const [program, command] of Object.entries(benchmark.commands)) {
      benchmark.prepare(program);
      const measured = await measure(command[0] ?? "", command.slice(1), {
        stdio: ["ignore", "ignore", "inherit"],
        env: { ...process.env, TMPDIR: temporary },
      });
      if (measured.exitCode !== 0) throw new Error(`${command.join(" ")} exited with ${measured.exitCode}`);
      const { group, name } = benchmark;
      console.error(`${`${group}: ${name}`.padEnd(70)} ${program.padEnd(8)} ${measured.seconds.toFixed(2)} s`);
      samples.push({ group, name, program, ...measured });
    }
  };
  {
    await using server = await startWebServer(work);
    for (let round = 0; round < rounds; round++) {
      for (const benchmark of cases(imgtool, work, inputs, server?.url)) await run(benchmark);
    }
  }
  if (!flags["no-memory"]) for (const benchmark of memoryCases(imgtool, work)) await run(benchmark);
  return {
    machine: { cpus: cpus().length, model: cpus()[0]?.model ?? "unknown", memory: totalmem() },
    rounds,
    inputBytes: megabytes * 1024 ** 2,
    cases: median(samples, "casync"),
    limits: measureLimits(inputs.tar, work),
    demo: flags["no-demo"] ? undefined : demoSteps(root, work),
  };
}
