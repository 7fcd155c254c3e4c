/**
 * Verbs that handle an image's tree, run by an ordinary user.
 * @module
 */
import { EnvironmentError } from "@imgtool/core";

const variable = "IMGTOOL_PROJECT_WAS_READ";

/** Whether the process that this one took the place of has read the project, and said what is to be said about it. */
export const projectWasRead: boolean = process.env[variable] !== undefined;
// Not for the programs that this one runs.
Reflect.deleteProperty(process.env, variable);

/**
 * Replaces this process by the same command as root of a user namespace; returns when it is root already.
 * @param wasRead whether the warnings about the project were said: the command begins again, and they would be twice
 * @throws EnvironmentError where users cannot have namespaces
 */
export async function becomeRoot(wasRead = false): Promise<void> {
  const { findUserNamespace, isRoot } = await import("@imgtool/sandbox");
  if (isRoot()) return;
  const { command } = await findUserNamespace();
  const args = [...command, process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  // An exec, not a child: signals, the terminal and the exit code need nobody to pass them on.
  process.execve?.(command[0] ?? "", args, {
    ...process.env,
    ...(wasRead ? { [variable]: "1" } : {}),
  });
}

/** Like becomeRoot, for verbs that can do most of their work as any user, too. */
export async function becomeRootIfPossible(): Promise<void> {
  try {
    await becomeRoot();
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error;
  }
}
