/**
 * Host programs that run beside imgtool, with their standard streams in the caller's hands.
 * @module
 */
import { spawn, type ChildProcess, type StdioOptions } from "node:child_process";
import { endGroupOnAbort } from "./process-group.ts";
import { findTool, requireTool, toolPath } from "./tools.ts";

export interface SpawnToolOptions {
  /** As child_process.spawn has it. */
  readonly stdio: StdioOptions;
  readonly cwd?: string;
  /** The child's whole environment besides PATH, HOME, TERM and LC_ALL. */
  readonly env?: Readonly<Record<string, string>>;
  /** Ends the program and all that it started. */
  readonly signal?: AbortSignal | undefined;
  /**
   * The program reads the terminal: it stays in imgtool's process group, without which the terminal
   * would stop it. Default false.
   */
  readonly terminal?: boolean;
  /**
   * The kernel sends the program this signal when imgtool is gone, whatever ended it (prctl(2),
   * PR_SET_PDEATHSIG). KILL for what has nothing to end in turn. Default: none.
   */
  readonly endsWithParent?: "KILL" | "TERM";
}

/**
 * Starts a program; returns at once.
 * @throws EnvironmentError `tool-missing`
 */
export async function spawnTool(
  name: string,
  args: readonly string[],
  options: SpawnToolOptions,
): Promise<ChildProcess> {
  const program = await requireTool(name);
  const guard = options.endsWithParent === undefined ? undefined : await findTool("setpriv");
  const [path, ...before] =
    guard === undefined ? [program] : [guard, "--pdeathsig", options.endsWithParent ?? "KILL", "--", program];
  const terminal = options.terminal === true;
  const term = process.env["TERM"];
  const child = spawn(path ?? program, [...before, ...args], {
    stdio: options.stdio,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: {
      PATH: toolPath(),
      HOME: process.env["HOME"] ?? "/root",
      LC_ALL: "C.UTF-8",
      ...(term === undefined ? {} : { TERM: term }),
      ...options.env,
    },
    detached: !terminal,
  });
  if (terminal) endOnAbort(child, options.signal);
  else endGroupOnAbort(child, options.signal);
  return child;
}

function endOnAbort(child: ChildProcess, signal: AbortSignal | undefined): void {
  const end = (): void => void child.kill("SIGTERM");
  const atExit = (): void => void child.kill("SIGKILL");
  process.on("exit", atExit);
  if (signal?.aborted === true) end();
  signal?.addEventListener("abort", end, { once: true });
  child.once("exit", () => {
    process.off("exit", atExit);
    signal?.removeEventListener("abort", end);
  });
}
