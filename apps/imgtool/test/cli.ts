/**
 * Runs the command line as a person does: the imgtool script of the checkout, in a process of its own.
 * @module
 */
import { spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect } from "vitest";

export const checkout: string = join(import.meta.dirname, "../../..");
export const imgtool: string = join(checkout, "imgtool");

export interface CliRun {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

const maxBuffer = 256 * 1024 ** 2;

/** Runs imgtool to its end; one that has not ended after three minutes is killed and fails the test. */
export function cli(args: readonly string[], { cwd, env }: CliOptions = {}): CliRun {
  const result = spawnSync(imgtool, args, {
    cwd,
    env: { ...process.env, CASYNC_STORE: "", ...env },
    encoding: "utf8",
    maxBuffer,
    timeout: 180_000,
  });
  expect(result.error, `imgtool ${args.join(" ")}`).toBeUndefined();
  return { exitCode: result.status ?? 128, stdout: result.stdout, stderr: result.stderr };
}

/** Runs imgtool without blocking this process, which may be serving it; killed after three minutes. */
export async function cliAsync(args: readonly string[], { cwd, env }: CliOptions = {}): Promise<CliRun> {
  const child = spawn(imgtool, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 180_000,
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (part: Buffer) => (stdout += part.toString("utf8")));
  child.stderr.on("data", (part: Buffer) => (stderr += part.toString("utf8")));
  const exitCode = await new Promise<number>((resolve) => child.on("close", (code) => resolve(code ?? 128)));
  return { exitCode, stdout, stderr };
}

/** What every error owes to a person: its code, the place, a hint, no stack and no bug. */
export function expectError(run: CliRun, exitCode: number, ...texts: readonly (string | RegExp)[]): void {
  expect(run.exitCode, run.stderr).toBe(exitCode);
  expect(run.stderr).toMatch(/^error: /m);
  expect(run.stderr).toMatch(/^hint: /m);
  expect(run.stderr).not.toMatch(/^\s+at .*:\d+:\d+\)?$/m);
  expect(run.stderr).not.toContain("bug in imgtool");
  expect(run.stderr).not.toContain(".tmp-");
  for (const text of texts) expect(run.stderr).toMatch(text);
}
