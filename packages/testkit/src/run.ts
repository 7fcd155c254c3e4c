/**
 * Runs a peer program and returns what it printed; throws with its stderr when it fails.
 * @module
 */
import { execFile, spawnSync } from "node:child_process";

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: Uint8Array | string;
}

export interface RunResult {
  readonly status: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** Runs a program to its end, whatever its exit status. */
export function tryRun(program: string, args: readonly string[], options: RunOptions = {}): RunResult {
  const path = `${process.env["PATH"] ?? ""}:/usr/local/sbin:/usr/sbin:/sbin`;
  const result = spawnSync(program, args, {
    cwd: options.cwd,
    env: { ...process.env, PATH: path, LC_ALL: "C.UTF-8", ...options.env },
    input: options.input,
    maxBuffer: 1024 ** 3,
  });
  if (result.error !== undefined) throw result.error;
  return { status: result.status ?? 128, stdout: result.stdout, stderr: result.stderr.toString("utf8") };
}

/** Runs a program that must succeed; returns its stdout as text. */
export function run(program: string, args: readonly string[], options: RunOptions = {}): string {
  const result = tryRun(program, args, options);
  if (result.status !== 0)
    throw new Error(
      `${program} ${args.join(" ")} exited with ${result.status}: ${result.stderr}${result.stdout.toString("utf8")}`,
    );
  return result.stdout.toString("utf8");
}

/** As run(), while this process goes on: for programs that talk to a server in it. */
export function runAsync(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { env: { ...process.env, LC_ALL: "C.UTF-8" }, maxBuffer: 1024 ** 3 };
    execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${program} ${args.join(" ")} failed: ${stderr}${stdout}`, { cause: error }));
    });
  });
}
