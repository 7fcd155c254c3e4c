/**
 * Verbs that handle an image's tree, run by an ordinary user.
 * @module
 */
import { EnvironmentError } from "@imgtool/core";

/**
 * Replaces this process by the same command as root of a user namespace; returns when it is root already.
 * @throws EnvironmentError where users cannot have namespaces
 */
export async function becomeRoot(): Promise<void> {
  const { findUserNamespace, isRoot } = await import("@imgtool/sandbox");
  if (isRoot()) return;
  const { command } = await findUserNamespace();
  const args = [...command, process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  // An exec, not a child: signals, the terminal and the exit code need nobody to pass them on.
  process.execve?.(command[0] ?? "", args, process.env);
}

/** Like becomeRoot, for verbs that can do most of their work as any user, too. */
export async function becomeRootIfPossible(): Promise<void> {
  try {
    await becomeRoot();
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error;
  }
}
