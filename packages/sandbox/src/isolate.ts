/**
 * Runs a trusted host program that mounts things or starts daemons (mmdebstrap, apt, dpkg) so that
 * nothing of it can stay behind: it sees the whole host, but in mount and process namespaces of its
 * own, which vanish with it, however it ends.
 * @module
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { requireTool, runTool, type RunToolOptions, type ToolResult } from "@imgtool/host";
import type { Overlay } from "./overlay.ts";
import { overlayCommand } from "./overlay.ts";
import { suppressSyncFilter } from "./suppress-sync.ts";

export interface IsolateOptions extends RunToolOptions {
  /** An image's tree that gets /proc, /dev, /run and /tmp of its own while the program runs. */
  readonly tree?: string;
  /** Default true. */
  readonly network?: boolean;
}

/** Namespaces of everything that imgtool runs with bwrap. */
export const commonArguments: readonly string[] = [
  "--unshare-pid",
  "--unshare-ipc",
  "--unshare-uts",
  // bwrap dies by a signal, or with imgtool; the kernel then kills all that runs in its process
  // namespace and drops its mounts.
  "--die-with-parent",
  "--new-session",
  // Without this bwrap drops root's capabilities, and neither mount nor chown works inside.
  "--cap-add",
  "ALL",
];

/**
 * Runs a host program to its end in namespaces of its own.
 * @throws what runTool throws
 */
export async function runIsolated(
  program: string,
  args: readonly string[],
  options: IsolateOptions = {},
): Promise<ToolResult> {
  const { tree, network = true, ...rest } = options;
  const mounts = ["--dev-bind", "/", "/", "--proc", "/proc", ...(network ? [] : ["--unshare-net"])];
  if (tree !== undefined) {
    mounts.push("--proc", `${tree}/proc`, "--dev", `${tree}/dev`);
    mounts.push("--tmpfs", `${tree}/run`, "--tmpfs", `${tree}/tmp`);
  }
  return await runBubblewrap([...commonArguments, ...mounts, "--", program, ...args], rest);
}

/**
 * Runs bwrap with umask 022, whatever imgtool's own is (modes of an image's files must not depend on
 * it), and without flushes to the disk.
 */
export async function runBubblewrap(
  args: readonly string[],
  { overlays = [], ...options }: RunToolOptions & { readonly overlays?: readonly Overlay[] },
): Promise<ToolResult> {
  const bwrap = await requireTool("bwrap");
  const [shell, ...before] = [...overlayCommand(overlays), "sh"];
  const filter = suppressSyncFilter();
  if (filter === undefined)
    return await runTool(shell, [...before, "-c", 'umask 022; exec "$0" "$@"', bwrap, ...args], options);
  const folder = await mkdtemp(join(tmpdir(), "imgtool-sandbox-"));
  try {
    const file = join(folder, "filter");
    await writeFile(file, filter);
    const script = 'umask 022; exec 9< "$1"; shift; exec "$0" --seccomp 9 "$@"';
    return await runTool(shell, [...before, "-c", script, bwrap, file, ...args], options);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
