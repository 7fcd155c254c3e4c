/**
 * `npm test`: runs every test of the workspace, unit tests first, then all that run whole programs, prints why
 * tests were skipped, and ends with `N passed, N failed`.
 * @module
 */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { BaseSequencer, startVitest, type TestSpecification, type Vitest } from "vitest/node";

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

// The command line as it is shipped: tests start it again and again, each time in half the processor time
// of the sources (0.48 s instead of 0.86, measured). What checks the packages later finds it built.
execFileSync("turbo", ["run", "build", "--filter=imgtool", "--output-logs=errors-only"], { stdio: "inherit" });
process.env["IMGTOOL_RUN_BUILT"] = "yes";

interface Phase {
  readonly name: string;
  readonly options: NonNullable<Parameters<typeof startVitest>[2]>;
}

const counts: Counts = { passed: 0, failed: [], skipped: [], flaky: [] };
/** The files with tests that run whole programs, by the place of the first tag in `slowTags` that one has. */
const slowFiles = new Map<string, number>();
// Whole systems that boot take longest, then come whole builds of distributions: the file that starts last and
// runs long is what all would wait for.
const slowTags = ["boot", "distribution", "system"];

await runPhase(process.argv.slice(2), {
  name: "unit tests",
  options: {
    tagsFilter: slowTags.map((tag) => `!${tag}`),
    // All processors and one process each for many files: 50 s on two processors, where vitest's own
    // choice, one processor less and a process for each file, takes 109 s (measured).
    maxWorkers: "100%",
    isolate: false,
  },
});

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).toSorted((a, b) => rankOf(a) - rankOf(b));
  }
}

function rankOf({ moduleId }: TestSpecification): number {
  return slowFiles.get(moduleId) ?? slowTags.length;
}

// Only these files: each other one would be a process that finds out that it has nothing to do, for 0.7 s of a
// processor (measured).
if (slowFiles.size > 0) {
  await runPhase([...slowFiles.keys()], {
    name: "system, boot and distribution tests",
    options: {
      tagsFilter: [slowTags.join(" || ")],
      // One more than there are processors: they wait for servers, limits of rates and file systems.
      maxWorkers: availableParallelism() + 1,
      sequence: { sequencer: LongestFirst },
      // They depend on processes and kernels under load: one failure is tried again, and named at the end.
      retry: 1,
    },
  });
}

async function runPhase(files: string[], { name, options }: Phase): Promise<void> {
  const started = performance.now();
  console.log(`\n# ${name}`);
  const vitest = await startVitest("test", files, {
    run: true,
    watch: false,
    passWithNoTests: true,
    // Each phase skips the tests of the others; those that skip themselves are listed at the end.
    hideSkippedTests: true,
    reporters: [process.stdout.isTTY ? "default" : "verbose"],
    ...options,
  });
  collect(vitest, counts);
  await vitest.close();
  console.log(`# ${name}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
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
      const rank = slowTags.findIndex((tag) => test.tags.includes(tag));
      if (rank !== -1) slowFiles.set(module.moduleId, Math.min(rank, slowFiles.get(module.moduleId) ?? rank));
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
