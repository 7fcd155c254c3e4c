/**
 * `npm run bench`: measures imgtool beside casync in one run on the same warm input, and the demo's
 * steps, and writes docs/benchmarks.md and docs/benchmarks.json.
 *
 * Inputs, stores and outputs lie on tmpfs (/dev/shm), so that no disk is measured. Each case runs
 * `--rounds` times with the programs in turn; the tables hold medians and ratios to casync.
 * @module
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { measure } from "../scripts/measure.ts";
import { makeTar } from "./inputs.ts";
import { cases } from "./cases.ts";
import { demoSteps } from "./demo.ts";
import { median, type Sample } from "./statistics.ts";
import { report } from "./report.ts";

const { values: flags } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    size: { type: "string", default: "1024" },
    "no-demo": { type: "boolean", default: false },
  },
});
const rounds = Number(flags.rounds);
const megabytes = Number(flags.size);
const root = join(import.meta.dirname, "..");
const work = "/dev/shm/imgtool-bench";

rmSync(work, { recursive: true, force: true });
mkdirSync(work, { recursive: true });
try {
  console.error(`making the input: a tar of /usr cut to ${megabytes} MiB`);
  const input = makeTar(join(work, "input.tar"), megabytes);
  const samples: Sample[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const benchmark of cases(root, work, input)) {
      for (const [program, command] of Object.entries(benchmark.commands)) {
        benchmark.prepare(program);
        const measured = await measure(command[0] ?? "", command.slice(1), { stdio: ["ignore", "ignore", "inherit"] });
        if (measured.exitCode !== 0) throw new Error(`${command.join(" ")} exited with ${measured.exitCode}`);
        console.error(`${benchmark.name.padEnd(40)} ${program.padEnd(8)} ${measured.seconds.toFixed(2)} s`);
        samples.push({ name: benchmark.name, program, ...measured });
      }
    }
  }
  const results = {
    machine: { cpus: cpus().length, model: cpus()[0]?.model ?? "unknown", memory: totalmem() },
    rounds,
    inputBytes: megabytes * 1024 ** 2,
    cases: median(samples),
    demo: flags["no-demo"] ? undefined : demoSteps(root, work),
  };
  writeFileSync(join(root, "docs/benchmarks.json"), `${JSON.stringify(results, undefined, 2)}\n`);
  writeFileSync(join(root, "docs/benchmarks.md"), report(results));
  console.error("written: docs/benchmarks.md, docs/benchmarks.json");
} finally {
  rmSync(work, { recursive: true, force: true });
}
