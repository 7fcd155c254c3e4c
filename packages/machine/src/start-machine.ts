/**
 * Starts a virtual machine: finds firmware and accelerator, makes what the machine may write to in a
 * folder of its own, runs QEMU, and takes all of it away again when the machine has ended.
 * @module
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmod, copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import type { Feature } from "@imgtool/config";
import { AbortedError, ConfigError, ProcessError, silentProgress, type Progress } from "@imgtool/core";
import { runTool, spawnTool } from "@imgtool/host";
import { chooseAccelerator } from "./accelerator.ts";
import { pressPowerButton } from "./control.ts";
import { writeCredentials } from "./credentials.ts";
import { receiveStatus } from "./exit-status.ts";
import { findFirmware } from "./firmware.ts";
import { qemuArguments } from "./qemu-arguments.ts";
import type { Boot, ConsoleOwner, MachineDisk } from "./virtual-machine.ts";

export interface MachineOptions {
  readonly name: string;
  /** systemd's name; only x86-64 can be run. */
  readonly architecture: string;
  readonly boot: BootOptions;
  readonly disks: readonly MachineDisk[];
  /** Default 1. */
  readonly cpus?: number;
  /** Bytes. Default 2 GiB. */
  readonly ram?: number;
  /** Default auto. */
  readonly kvm?: Feature;
  readonly credentials?: Readonly<Record<string, string>>;
  /** Default "user": the guest reaches the network through this process's machine, nothing reaches it. */
  readonly network?: "user" | "none";
  /** Default "pipes". */
  readonly console?: ConsoleOwner;
  /** Further arguments of QEMU. */
  readonly extraArguments?: readonly string[];
  readonly progress?: Progress;
  /** Presses the power button, and ends QEMU when that does not help. */
  readonly signal?: AbortSignal | undefined;
}

export type BootOptions =
  | { readonly kind: "bios" }
  | {
      readonly kind: "linux";
      readonly kernel: string;
      readonly initrds: readonly string[];
      readonly kernelCommandLine: readonly string[];
    }
  | {
      readonly kind: "uefi";
      readonly secureBoot: boolean;
      /** A file with variables to start from, or "vendor" for those with Microsoft's keys. */
      readonly variables?: string | undefined;
      readonly kernelCommandLine: readonly string[];
    };

export interface RunningMachine {
  /** What the guest reads from its console; undefined where the terminal is QEMU's. */
  readonly input: Writable | undefined;
  /** What the guest writes to its console. */
  readonly output: Readable | undefined;
  /**
   * Resolves when the machine has ended: with the status that the guest sent, else 0.
   * @throws ProcessError `machine-failed`, AbortedError
   */
  readonly ended: Promise<number>;
  /** Ends QEMU at once, as if the power failed. */
  kill(): void;
}

const qemu = "qemu-system-x86_64";

/** Milliseconds that a guest has to shut down when it is asked to, before its power goes. */
const shutdownPatience = 30_000;

/**
 * Starts the machine; returns when QEMU runs.
 * @throws ConfigError `architecture-unsupported`, EnvironmentError `tool-missing`, `firmware-missing`,
 *   `kvm-unusable`
 */
export async function startMachine(options: MachineOptions): Promise<RunningMachine> {
  const { signal, architecture, boot } = options;
  const progress = options.progress ?? silentProgress;
  if (architecture !== "x86-64") {
    throw new ConfigError(`an image for ${architecture} cannot be run: there are virtual machines for x86-64 only`, {
      code: "architecture-unsupported",
      hint: "run QEMU for that architecture by hand",
      data: { architecture },
    });
  }
  const qemuVersion = await majorVersion(signal);
  const accelerator = await chooseAccelerator({ kvm: options.kvm ?? "auto", qemu, progress, signal });
  const stack = new AsyncDisposableStack();
  try {
    const folder = await mkdtemp(join(tmpdir(), "imgtool-vm-"));
    stack.defer(async () => await rm(folder, { recursive: true, force: true }));
    const statusSocket = join(folder, "status");
    const controlSocket = join(folder, "control");
    const receiver = stack.use(await receiveStatus(statusSocket));
    const console = options.console ?? "pipes";
    const args = qemuArguments({
      name: options.name,
      accelerator,
      qemuVersion,
      cpus: options.cpus ?? 1,
      ram: options.ram ?? 2 * 1024 ** 3,
      boot: await prepareBoot(boot, folder),
      disks: options.disks,
      credentials: await writeCredentials(options.credentials ?? {}, folder),
      network: options.network ?? "user",
      console,
      statusSocket,
      controlSocket,
      extraArguments: options.extraArguments ?? [],
    });
    progress.log("debug", `${qemu} ${args.join(" ")}`);
    const terminal = console === "terminal";
    const child = await spawnTool(qemu, args, {
      stdio: terminal ? "inherit" : ["pipe", "pipe", "pipe"],
      terminal,
      endsWithParent: true,
    });
    const resources = stack.move();
    let killed = false;
    return {
      input: child.stdin ?? undefined,
      output: child.stdout ?? undefined,
      kill() {
        killed = true;
        child.kill("SIGKILL");
      },
      ended: (async () => {
        await using _ = resources;
        await waitForEnd(child, { controlSocket, signal, wasKilled: () => killed });
        return receiver.status() ?? 0;
      })(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

interface EndOptions {
  readonly controlSocket: string;
  readonly signal: AbortSignal | undefined;
  readonly wasKilled: () => boolean;
}

async function waitForEnd(child: ChildProcess, { controlSocket, signal, wasKilled }: EndOptions): Promise<void> {
  let complaints = "";
  child.stderr?.on("data", (bytes: Buffer) => {
    complaints = `${complaints}${bytes.toString("utf8")}`.slice(-4000);
  });
  // A guest that is gone reads no more; whoever writes to its console learns of the end by `ended`.
  child.stdin?.on("error", () => {});
  let timer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    timer = setTimeout(() => child.kill("SIGTERM"), shutdownPatience);
    void pressPowerButton(controlSocket);
  };
  if (signal?.aborted === true) stop();
  signal?.addEventListener("abort", stop, { once: true });
  try {
    const [code, killedBy] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
    if (signal?.aborted === true || wasKilled()) throw new AbortedError("the virtual machine was stopped");
    if (code === 0) return;
    const how = killedBy === null ? `exited with ${code}` : `was killed by ${killedBy}`;
    throw new ProcessError(`${qemu} ${how}${complaints === "" ? "" : `:\n${complaints.trimEnd()}`}`, {
      code: "machine-failed",
      data: { exitCode: code, signal: killedBy, output: complaints },
    });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}

/** Makes the copies that the machine writes to. */
async function prepareBoot(boot: BootOptions, folder: string): Promise<Boot> {
  if (boot.kind === "bios") return boot;
  const { kernelCommandLine } = boot;
  if (boot.kind === "linux") {
    const { kernel, initrds } = boot;
    let [initrd] = initrds;
    if (initrds.length > 1) {
      // The kernel unpacks initrds that follow each other, one over the other.
      initrd = join(folder, "initrd");
      await runTool("sh", ["-c", 'out=$0; exec cat -- "$@" >"$out"', initrd, ...initrds]);
    }
    return { kind: "linux", kernel, initrd, kernelCommandLine };
  }
  const firmware = await findFirmware({ secureBoot: boot.secureBoot, hasKeys: boot.variables === "vendor" });
  const own = boot.variables === undefined || boot.variables === "vendor" ? firmware.variables.path : boot.variables;
  const variables = { path: join(folder, "variables"), format: firmware.variables.format };
  await copyFile(own, variables.path);
  await chmod(variables.path, 0o600);
  return { kind: "uefi", code: firmware.code, variables, needsSmm: firmware.needsSmm, kernelCommandLine };
}

async function majorVersion(signal: AbortSignal | undefined): Promise<number> {
  const { stdout } = await runTool(qemu, ["--version"], { signal });
  return Number(/version (\d+)/.exec(stdout)?.[1] ?? 0);
}
