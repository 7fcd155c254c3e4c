/**
 * Programs that run beside a machine and serve it by a Unix socket: a TPM, a folder, a journal.
 * @module
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { ProcessError, throwIfAborted } from "@imgtool/core";
import { spawnTool } from "@imgtool/host";

export interface SideProgramOptions {
  /** The Unix socket that the program will listen on. */
  readonly socket: string;
  readonly signal?: AbortSignal | undefined;
}

/** Milliseconds that a program has until it listens, and between two looks. */
const patience = 10_000;
const interval = 10;

/**
 * Starts the program; returns when it listens. Disposing of it ends it.
 * @throws EnvironmentError `tool-missing`, ProcessError `side-program-failed`
 */
export async function startSideProgram(
  program: string,
  args: readonly string[],
  { socket, signal }: SideProgramOptions,
): Promise<AsyncDisposable> {
  const child = await spawnTool(program, args, { stdio: ["ignore", "ignore", "pipe"], endsWithParent: "KILL" });
  let complaints = "";
  child.stderr?.on("data", (bytes: Buffer) => (complaints = `${complaints}${bytes.toString("utf8")}`.slice(-4000)));
  const ended = once(child, "close");
  ended.catch(() => {});
  const end = async (): Promise<void> => {
    if (isRunning(child)) child.kill("SIGTERM");
    await ended.catch(() => {});
  };
  try {
    const limit = performance.now() + patience;
    while (!(await listens(socket))) {
      throwIfAborted(signal);
      if (isRunning(child) && performance.now() < limit) {
        await sleep(interval);
        continue;
      }
      const what = isRunning(child) ? `does not listen on ${socket}` : "ended at once";
      throw new ProcessError(`${program} ${what}${complaints === "" ? "" : `:\n${complaints.trimEnd()}`}`, {
        code: "side-program-failed",
        data: { program, output: complaints },
      });
    }
  } catch (error) {
    await end();
    throw error;
  }
  return { [Symbol.asyncDispose]: end };
}

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

/**
 * Whether somebody listens on a Unix socket. Connecting would tell, too, and would use up the one
 * connection that virtiofsd serves; the kernel's list has the flag __SO_ACCEPTCON (proc_net_unix(5)).
 */
async function listens(socket: string): Promise<boolean> {
  const list = await readFile("/proc/net/unix", "utf8");
  return list.split("\n").some((line) => {
    const [, , , flags, , , , ...path] = line.split(/\s+/);
    return flags === "00010000" && path.join(" ") === socket;
  });
}
