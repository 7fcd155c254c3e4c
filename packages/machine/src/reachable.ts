/**
 * Machines that `imgtool ssh` finds: each that runs and can be reached has a file in the user's runtime
 * folder, for as long as it runs.
 * @module
 */
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { NotFoundError, systemErrorCode, type Progress } from "@imgtool/core";
import type { RunningMachine } from "./start-machine.ts";

export interface ReachableMachine {
  readonly name: string;
  /** QEMU's process. */
  readonly pid: number;
  /** The private key that may log in as root. Absolute. */
  readonly key: string;
  /** A number of VSOCK, or a port of 127.0.0.1. */
  readonly address: { readonly vsock: number } | { readonly port: number };
}

export interface AnnounceOptions {
  readonly name: string;
  readonly machine: RunningMachine;
  readonly key: string | undefined;
  /** The guest's number, where its sshd listens on VSOCK: with Ssh=yes. */
  readonly vsock: number | undefined;
  readonly progress: Progress;
}

/** Writes the file; disposing removes it. A machine that cannot be reached gets none, and runs all the same. */
export async function announceMachine(options: AnnounceOptions): Promise<AsyncDisposable> {
  const { name, machine, key, vsock, progress } = options;
  const nothing = { [Symbol.asyncDispose]: async (): Promise<void> => {} };
  const { pid } = machine;
  const folder = stateFolder();
  if (key === undefined || pid === undefined || folder === undefined) return nothing;
  // A machine that ends at once has no port, and who awaits its end learns why.
  const gone = machine.ended.then(
    () => undefined,
    () => undefined,
  );
  const port = vsock === undefined ? await Promise.race([machine.sshPort?.(), gone]) : undefined;
  const address = vsock !== undefined ? { vsock } : port === undefined ? undefined : { port };
  if (address === undefined) return nothing;
  const path = stateFile(folder, name);
  try {
    if ((await readState(path)) !== undefined) {
      progress.log("warning", `another machine named ${name} runs: imgtool ssh reaches that one`, "use Machine=");
      return nothing;
    }
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const state: ReachableMachine = { name, pid, key, address };
    await writeFile(`${path}.${pid}`, JSON.stringify(state), { mode: 0o600 });
    await rename(`${path}.${pid}`, path);
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    progress.log("warning", `imgtool ssh will not find the machine: ${String(error)}`);
    return nothing;
  }
  return { [Symbol.asyncDispose]: async () => await rm(path, { force: true }) };
}

/**
 * The running machine of that name.
 * @throws NotFoundError `machine-not-running`
 */
export async function findMachine(name: string): Promise<ReachableMachine> {
  const folder = stateFolder();
  const found = folder === undefined ? undefined : await readState(stateFile(folder, name));
  if (found !== undefined) return found;
  throw new NotFoundError(`no machine named ${name} runs that imgtool ssh could reach`, {
    code: "machine-not-running",
    hint: "start it with imgtool vm as the same user, with RuntimeNetwork=user and the keys that imgtool genkey makes",
    data: { name },
  });
}

/** The arguments of ssh(1): nobody else's keys, hosts and settings count. */
export function sshArguments({ key, address }: ReachableMachine, command: readonly string[]): string[] {
  const options = [
    "IdentitiesOnly=yes",
    // Every image has another key, under the same name.
    "UserKnownHostsFile=/dev/null",
    "StrictHostKeyChecking=no",
    "LogLevel=ERROR",
    ...("vsock" in address ? [`ProxyCommand=socat - VSOCK-CONNECT:${address.vsock}:22`] : []),
  ];
  return [
    "-F",
    "none",
    "-i",
    key,
    ...options.flatMap((option) => ["-o", option]),
    ...("port" in address ? ["-p", String(address.port)] : []),
    "root@127.0.0.1",
    ...command,
  ];
}

/** Only the user can write there. */
function stateFolder(): string | undefined {
  const runtime = process.env["XDG_RUNTIME_DIR"] ?? (process.getuid?.() === 0 ? "/run" : undefined);
  return runtime === undefined ? undefined : join(runtime, "imgtool", "machines");
}

function stateFile(folder: string, name: string): string {
  return join(folder, `${encodeURIComponent(name)}.json`);
}

/** What the file says, unless its machine is gone: imgtool may have been killed. */
async function readState(path: string): Promise<ReachableMachine | undefined> {
  try {
    const state = JSON.parse(await readFile(path, "utf8")) as ReachableMachine;
    const program = await readFile(`/proc/${state.pid}/comm`, "utf8");
    return program.startsWith("qemu") ? state : undefined;
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes(systemErrorCode(error) ?? "")) return undefined;
    throw error;
  }
}
