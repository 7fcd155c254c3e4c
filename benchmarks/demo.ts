/**
 * The demo's steps, measured by the demo itself.
 * @module
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

export interface DemoResults {
  readonly steps: readonly {
    readonly step: string;
    readonly seconds: number;
    readonly cpuSeconds: number;
    readonly peakMemory: number;
  }[];
}

/** Runs scripts/demo.ts with its output on `work`. */
export function demoSteps(root: string, work: string): DemoResults {
  const results = join(work, "demo.json");
  const demo = spawnSync(
    process.execPath,
    [
      "--conditions=@imgtool/source",
      join(root, "scripts/demo.ts"),
      `--output=${join(work, "demo")}`,
      `--results=${results}`,
    ],
    { stdio: ["ignore", "inherit", "inherit"] },
  );
  if (demo.status !== 0) throw new Error(`the demo exited with ${demo.status}`);
  return JSON.parse(readFileSync(results, "utf8")) as DemoResults;
}
