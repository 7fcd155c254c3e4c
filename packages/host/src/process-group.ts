/**
 * Every host program runs in a process group of its own. A terminal's Ctrl-C then reaches imgtool
 * alone, which ends the group and all in it: sent to bwrap by the terminal, in the moment in which it
 * starts, the signal would end bwrap but not its child, which waits for it forever (a process that is
 * the first of its namespace ignores all signals but SIGKILL) and holds the pipes to imgtool open.
 * @module
 */
import type { ChildProcess } from "node:child_process";

const groups = new Set<number>();

/** What is killed when imgtool itself ends before its children: a second Ctrl-C. */
function killAll(): void {
  for (const group of groups) signalGroup(group, "SIGKILL");
}

/**
 * Ends the child's group when the signal fires: SIGTERM, and SIGKILL for what is left when the child
 * has ended, or after `patience` milliseconds. The child must have been started with `detached`.
 */
export function endGroupOnAbort(
  child: Pick<ChildProcess, "pid" | "once">,
  signal: AbortSignal | undefined,
  patience = 10_000,
): void {
  const { pid } = child;
  if (pid === undefined) return;
  if (groups.size === 0) process.on("exit", killAll);
  groups.add(pid);
  let timer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    signalGroup(pid, "SIGTERM");
    timer = setTimeout(() => signalGroup(pid, "SIGKILL"), patience);
    timer.unref();
  };
  child.once("exit", () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
    if (signal?.aborted === true) signalGroup(pid, "SIGKILL");
    groups.delete(pid);
    if (groups.size === 0) process.off("exit", killAll);
  });
  if (signal?.aborted === true) stop();
  else signal?.addEventListener("abort", stop, { once: true });
}

function signalGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal);
  } catch {
    // all of it has ended
  }
}
