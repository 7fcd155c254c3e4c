/**
 * `npm test`: runs every test of the workspace, unit tests first, then system tests one at a time with the
 * boot tests and those of distributions beside them, prints why tests were skipped, and ends with `N passed, N failed`.
 * @module
 */
import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startVitest, type Vitest } from "vitest/node";

interface Counts {
  passed: number;
  /** Named again at the end with their first error: a long log is read from there. */
  failed: string[];
  skipped: string[];
  /** Tests that passed on their second try only: each is a bug of the test or of the product. */
  flaky: string[];
}

// What Node.js makes of the threads' and programs' sources is kept, as bin/imgtool does: two threads start in
// 0.26 s instead of 0.48 (measured).
process.env["NODE_COMPILE_CACHE"] ??= join(tmpdir(), "imgtool-test-node");

interface Phase {
  readonly name: string;
  readonly tagsFilter: string[];
  /** Whether files run at the same time, in as many processes as there are processors. */
  readonly fileParallelism: boolean;
  readonly retry: number;
}

// System tests bootstrap distributions and start servers: on two cores one file at a time. They depend on
// processes and kernels under load: one failure is tried again, and named at the end.
const phases: Readonly<Record<"unit" | "system" | "boot" | "distribution", Phase>> = {
  unit: { name: "unit tests", tagsFilter: ["!system && !boot"], fileParallelism: true, retry: 0 },
  system: { name: "system tests", tagsFilter: ["system && !distribution"], fileParallelism: false, retry: 1 },
  boot: { name: "boot tests", tagsFilter: ["boot"], fileParallelism: false, retry: 1 },
  distribution: { name: "tests of distributions", tagsFilter: ["distribution"], fileParallelism: false, retry: 1 },
};

const extra = process.argv.slice(2);
const countsOfPhase = process.env["IMGTOOL_TEST_PHASE_COUNTS"];
if (countsOfPhase !== undefined) {
  writeFileSync(
    countsOfPhase,
    JSON.stringify(joined([await runPhase(phases.boot), await runPhase(phases.distribution)])),
  );
  process.exit(0);
}

const all = [await runPhase(phases.unit)];
// A guest under software emulation takes one processor, most system tests the other: a process of its own boots
// beside them, and what it prints comes behind theirs. It is through first, and goes on with the distributions.
all.push(...(await Promise.all([runPhase(phases.system), runBeside()])));
const counts = joined(all);

function joined(parts: readonly Counts[]): Counts {
  return {
    passed: parts.reduce((sum, { passed }) => sum + passed, 0),
    failed: parts.flatMap(({ failed }) => failed),
    skipped: parts.flatMap(({ skipped }) => skipped),
    flaky: parts.flatMap(({ flaky }) => flaky),
  };
}

async function runPhase(phase: Phase): Promise<Counts> {
  const counts: Counts = { passed: 0, failed: [], skipped: [], flaky: [] };
  const started = performance.now();
  console.log(`\n# ${phase.name}`);
  const vitest = await startVitest("test", extra, {
    run: true,
    watch: false,
    tagsFilter: phase.tagsFilter,
    fileParallelism: phase.fileParallelism,
    retry: phase.retry,
    // All processors and one process each for many files: 50 s on two processors, where vitest's own
    // choice, one processor less and a process for each file, takes 109 s (measured).
    ...(phase.fileParallelism ? { maxWorkers: "100%", isolate: false } : {}),
    passWithNoTests: true,
    // Each phase skips the tests of the others; those that skip themselves are listed at the end.
    hideSkippedTests: true,
    reporters: [process.stdout.isTTY ? "default" : "verbose"],
  });
  collect(vitest, counts);
  await vitest.close();
  console.log(`# ${phase.name}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
  return counts;
}

/** The boot tests, and those of distributions behind them, in a process of their own. */
async function runBeside(): Promise<Counts> {
  const folder = mkdtempSync(join(tmpdir(), "imgtool-test-"));
  const [output, file] = [join(folder, "output"), join(folder, "counts")];
  try {
    const descriptor = openSync(output, "w");
    const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
      stdio: ["ignore", descriptor, descriptor],
      env: { ...process.env, IMGTOOL_TEST_PHASE_COUNTS: file },
    });
    closeSync(descriptor);
    const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
    process.stdout.write(readFileSync(output));
    if (existsSync(file)) return JSON.parse(readFileSync(file, "utf8")) as Counts;
    return {
      passed: 0,
      failed: [`the boot tests and those of distributions ended with ${code}`],
      skipped: [],
      flaky: [],
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (counts.skipped.length > 0) console.log(`\nskipped:\n${counts.skipped.map((line) => `  ${line}`).join("\n")}`);
if (counts.flaky.length > 0) {
  console.log(`\npassed on the second try only:\n${counts.flaky.map((line) => `  ${line}`).join("\n")}`);
}
if (counts.failed.length > 0) console.log(`\nfailed:\n${counts.failed.map((line) => `  ${line}`).join("\n")}`);
const countsFile = process.env["IMGTOOL_TEST_COUNTS"];
if (countsFile !== undefined)
  writeFileSync(countsFile, `${counts.passed} ${counts.failed.length} ${counts.skipped.length}\n`);
console.log(`\n${counts.passed} passed, ${counts.failed.length} failed, ${counts.skipped.length} skipped`);
process.exit(counts.failed.length === 0 && counts.passed > 0 ? 0 : 1);

function collect(vitest: Vitest, into: Counts): void {
  for (const module of vitest.state.getTestModules()) {
    // A file that cannot even be loaded holds no tests to count, and must not pass for that.
    if (module.state() === "failed" && [...module.children.allTests("failed")].length === 0) {
      into.failed.push(`${module.project.name} ${module.relativeModuleId}: ${firstError(module.errors())}`);
    }
    for (const test of module.children.allTests()) {
      const result = test.result();
      if (test.diagnostic()?.flaky === true) into.flaky.push(`${module.project.name} ${test.fullName}`);
      if (result.state === "passed") into.passed++;
      else if (result.state === "failed")
        into.failed.push(`${module.project.name} ${test.fullName}: ${firstError(result.errors)}`);
      else if (result.state === "skipped" && test.options.mode === "run" && result.note !== undefined) {
        into.skipped.push(`${module.project.name} ${test.fullName}: ${result.note}`);
      }
    }
  }
  for (const error of vitest.state.getUnhandledErrors())
    into.failed.push(`outside of any test: ${firstError([error])}`);
}

/** The first error's message on one line, and where it was thrown. */
function firstError(errors: Iterable<unknown>): string {
  for (const error of errors) {
    const { message = JSON.stringify(error), stack = "" } = error as {
      readonly message?: string;
      readonly stack?: string;
    };
    const place = stack
      .split("\n")
      .find((line) => line.trimStart().startsWith("at ") && !line.includes("node_modules"));
    return `${message.replaceAll(/\s+/g, " ").slice(0, 500)} ${place?.trim() ?? ""}`;
  }
  return "no error was given";
}
