/**
 * Building without root: imgtool starts itself again as root of a user namespace, where the ids of
 * /etc/subuid and /etc/subgid stand for the image's other users. What it makes there is, seen from
 * inside, what root would have made; everything but device nodes, which no user namespace may make.
 *
 * Node.js has several threads and so cannot enter a user namespace itself; unshare(1) of util-linux 2.38
 * does, with newuidmap(1) and newgidmap(1) for the ids.
 * @module
 */
import { readFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { EnvironmentError, errorMessage, ProcessError } from "@imgtool/core";
import { pathExists, requireTool, runTool } from "@imgtool/host";

export interface UserNamespace {
  /** What to put before a command that is to run as root of the namespace. */
  readonly command: readonly string[];
  /**
   * How many user ids there are inside: 65536, or 1 where the user has no range of subordinate ids.
   * With one id every file belongs to root; programs that give files to others fail.
   */
  readonly ids: 1 | 65536;
}

/** Subordinate ids that an image's users take: 1 to 65535; 0 is the user himself. */
const neededIds = 65535;

/** Whether the process may act on an image's files as root does, on the machine or in a user namespace. */
export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/**
 * Finds the way into a user namespace, and tries it.
 * @throws EnvironmentError `tool-missing`, `user-namespace-refused` where the kernel or its administrator
 *   does not let users have namespaces
 */
export async function findUserNamespace(): Promise<UserNamespace> {
  const unshare = await requireTool("unshare");
  const ids = (await hasSubordinateIds()) ? 65536 : 1;
  // The mount namespace of its own lets package managers mount what they need.
  const args = ["--user", "--map-root-user", ...(ids === 1 ? [] : ["--map-auto"]), "--mount", "--"];
  try {
    await runTool("unshare", [...args, "true"]);
  } catch (error) {
    if (!(error instanceof ProcessError)) throw error;
    throw new EnvironmentError(`building without root needs a user namespace, and it was refused: ${lastLine(error)}`, {
      code: "user-namespace-refused",
      hint: "run it with sudo, or allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone)",
      cause: error,
    });
  }
  return { command: [unshare, ...args], ids };
}

/**
 * How many user ids the process can give to files: 2^32 - 1 outside of user namespaces, else what its
 * namespace maps (user_namespaces(7), uid_map).
 */
export async function mappedUserIds(): Promise<number> {
  const lines = (await readFile("/proc/self/uid_map", "utf8")).trim().split("\n");
  return lines.reduce((sum, line) => sum + Number(line.trim().split(/\s+/)[2] ?? 0), 0);
}

/** Both files give the user a range that is long enough, and the programs that map it are there. */
async function hasSubordinateIds(): Promise<boolean> {
  const { username, uid } = userInfo();
  for (const path of ["/etc/subuid", "/etc/subgid"]) {
    if (!(await pathExists(path))) return false;
    if (longestRange(await readFile(path, "utf8"), [username, String(uid)]) < neededIds) return false;
  }
  return (await pathExists("/usr/bin/newuidmap")) && (await pathExists("/usr/bin/newgidmap"));
}

/** The longest range that subuid(5) gives to one of the owners; lines are `owner:first:count`. */
export function longestRange(text: string, owners: readonly string[]): number {
  let longest = 0;
  for (const line of text.split("\n")) {
    const [owner = "", first = "", count = ""] = line.trim().split(":");
    if (owners.includes(owner) && /^\d+$/.test(first) && /^\d+$/.test(count))
      longest = Math.max(longest, Number(count));
  }
  return longest;
}

function lastLine(error: unknown): string {
  return errorMessage(error).trim().split("\n").at(-1) ?? "";
}
