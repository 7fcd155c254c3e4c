/**
 * `npm run bench`: measures imgtool beside casync in one run on the same warm input, and the demo's
 * steps, and writes docs/benchmarks.md and docs/benchmarks.json.
 *
 * Inputs, stores and outputs lie on tmpfs (/dev/shm), so that no disk is measured. Each case runs
 * `--rounds` times with the programs in turn; the tables hold medians and ratios to casync. The cases
 * that show how much memory large inputs take run once.
 * @module
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { measure } from "../scripts/measure.ts";
import { type BenchmarkCase, cases, memoryCases } from "./cases.ts";
import { demoSteps } from "./demo.ts";
import { makeInputs } from "./inputs.ts";
import { median, type Sample } from "./statistics.ts";
import { report } from "./report.ts";

const { values: flags } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    size: { type: "string", default: "1024" },
    "no-demo": { type: "boolean", default: false },
    "no-memory": { type: "boolean", default: false },
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
  const imgtool = buildProgram();
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
  for (let round = 0; round < rounds; round++) {
    for (const benchmark of cases(imgtool, work, inputs)) await run(benchmark);
  }
  if (!flags["no-memory"]) for (const benchmark of memoryCases(imgtool, work)) await run(benchmark);
  const results = {
    machine: { cpus: cpus().length, model: cpus()[0]?.model ?? "unknown", memory: totalmem() },
    rounds,
    inputBytes: megabytes * 1024 ** 2,
    cases: median(samples),
    demo: flags["no-demo"] ? undefined : demoSteps(root, work),
  };
  writeFileSync(join(flags.output, "benchmarks.json"), `${JSON.stringify(results, undefined, 2)}\n`);
  writeFileSync(join(flags.output, "benchmarks.md"), report(results));
  console.error(`written: benchmarks.md and benchmarks.json in ${flags.output}`);
} finally {
  rmSync(work, { recursive: true, force: true });
}

/** The program as it is published, and as whoever installs it runs it: bundled, beside the native modules. */
function buildProgram(): string {
  const app = join(root, "apps/imgtool");
  const built = spawnSync(join(root, "node_modules/.bin/rolldown"), ["--config", "rolldown.config.ts"], {
    cwd: app,
    stdio: ["ignore", "ignore", "inherit"],
  });
  if (built.status !== 0) throw new Error(`the bundle could not be made: rolldown exited with ${built.status}`);
  const program = join(work, "imgtool");
  const script = `#!/bin/sh\nexec "${process.execPath}" "${join(app, "dist/main.js")}" "$@"\n`;
  writeFileSync(program, script, { mode: 0o755 });
  // Node.js keeps what it makes of the code, as bin/imgtool asks it to.
  process.env["NODE_COMPILE_CACHE"] = join(work, "node");
  return program;
}
