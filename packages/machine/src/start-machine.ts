/**
 * Starts a virtual machine: finds firmware and accelerator, makes what the machine may write to in a
 * folder of its own, runs QEMU, and takes all of it away again when the machine has ended.
 * @module
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { copyFile, chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { enrollKeys, signatureList } from "@imgtool/boot";
import { decodeCertificate } from "@imgtool/cms";
import type { Feature, RuntimeDrive } from "@imgtool/config";
import { AbortedError, ConfigError, ProcessError, silentProgress, type Progress } from "@imgtool/core";
import { pathExists, runTool, spawnTool } from "@imgtool/host";
import { chooseAccelerator } from "./accelerator.ts";
import { askMonitor, pressPowerButton } from "./control.ts";
import { passCredentials } from "./credentials.ts";
import { makeDrives, makeScratch, scratchFstab } from "./drives.ts";
import { receiveStatus } from "./exit-status.ts";
import { findFirmware } from "./firmware.ts";
import { journalCredential, receiveJournal } from "./journal.ts";
import { PassedFiles } from "./passed-files.ts";
import { guestJournalAddress, qemuArguments } from "./qemu-arguments.ts";
import { findShareServer, type SharedFolder, sharesFstab, startShares } from "./shares.ts";
import { startTpm } from "./tpm.ts";
import type { Boot, ConsoleOwner, MachineDisk, MachineNetwork } from "./virtual-machine.ts";

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
  readonly network?: MachineNetwork;
  /** A free port of this machine's loopback reaches the guest's port 22: `sshPort`. Default false. */
  readonly forwardSsh?: boolean;
  /** Empty disks that go with the machine. */
  readonly drives?: readonly RuntimeDrive[];
  /** The file system (ext4, xfs, btrfs) of an empty disk that the guest mounts at /var/tmp. Default: no such disk. */
  readonly scratch?: string | undefined;
  /** Folders of this machine that the guest mounts. */
  readonly folders?: readonly SharedFolder[];
  /** A file (*.journal) or folder that receives the guest's journal, with the network "user". */
  readonly journal?: string | undefined;
  /** Default false. */
  readonly tpm?: boolean;
  /** The guest's number for VSOCK, from 3. Default: it has none. */
  readonly vsockConnection?: number | undefined;
  /** A window shows the guest's screen. Default false. */
  readonly screen?: boolean;
  /** Properties of the scope that QEMU runs in, systemd.resource-control(5). */
  readonly unitProperties?: readonly string[];
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
      /** A file with a certificate, PEM or DER, that alone is trusted: Secure Boot is on from the first start. */
      readonly certificate?: string | undefined;
      /** An EFI program to start instead of what is on the disks. */
      readonly program?: string | undefined;
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
  /** QEMU's process. */
  readonly pid?: number | undefined;
  /** The port of 127.0.0.1 that reaches the guest's port 22; undefined where none does. */
  sshPort?(): Promise<number | undefined>;
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
    const files = stack.use(new PassedFiles());
    const folders = options.folders ?? [];
    const server = folders.length === 0 ? undefined : await findShareServer();
    const { shares } = stack.use(await startShares({ folders, server, folder, progress, signal }));
    const scratch = options.scratch === undefined ? [] : [await makeScratch(options.scratch, files)];
    const fstab = [
      options.credentials?.["fstab.extra"] ?? "",
      sharesFstab(folders, server === undefined ? "9p" : "virtiofs"),
      options.scratch === undefined ? "" : scratchFstab(options.scratch),
    ].join("");
    const credentials: Record<string, string> = {
      ...options.credentials,
      ...(fstab === "" ? {} : { "fstab.extra": fstab }),
    };
    let journalSocket: string | undefined;
    if (options.journal !== undefined) {
      journalSocket = join(folder, "journal");
      stack.use(await receiveJournal(options.journal, journalSocket, signal));
      credentials[journalCredential] = guestJournalAddress;
    }
    const args = qemuArguments({
      name: options.name,
      accelerator,
      qemuVersion,
      cpus: options.cpus ?? 1,
      ram: options.ram ?? 2 * 1024 ** 3,
      boot: await prepareBoot(boot, folder),
      disks: options.disks,
      drives: [...(await makeDrives(options.drives ?? [], files)), ...scratch],
      shares,
      journalSocket,
      tpmSocket: options.tpm === true ? stack.use(await startTpm(folder, signal)).socket : undefined,
      credentials: passCredentials(credentials, files),
      network: options.network ?? "user",
      forwardSsh: options.forwardSsh ?? false,
      vsockConnection: options.vsockConnection,
      screen: options.screen ?? false,
      console,
      statusSocket,
      controlSocket,
      extraArguments: options.extraArguments ?? [],
    });
    progress.log("debug", `${qemu} ${args.join(" ")}`);
    const terminal = console === "terminal";
    const stream = terminal ? "inherit" : "pipe";
    const [program, ...before] = await scopeCommand(options.unitProperties ?? [], progress);
    const child = await spawnTool(program, [...before, ...args], {
      stdio: [stream, stream, stream, ...files.descriptors],
      terminal,
      endsWithParent: "KILL",
    });
    const resources = stack.move();
    let killed = false;
    return {
      input: child.stdin ?? undefined,
      output: child.stdout ?? undefined,
      pid: child.pid,
      sshPort: async () =>
        options.forwardSsh === true ? forwardedPort(await askMonitor(controlSocket, "info usernet")) : undefined,
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

/** QEMU, in a scope of systemd with the properties where there are some. */
async function scopeCommand(properties: readonly string[], progress: Progress): Promise<[string, ...string[]]> {
  if (properties.length === 0) return [qemu];
  if (!(await pathExists("/run/systemd/system"))) {
    progress.log("warning", "UnitProperties= has no effect: this machine does not run systemd");
    return [qemu];
  }
  return scopedCommand(properties, process.getuid?.() === 0);
}

/** systemd-run(1) becomes the program that it starts. */
export function scopedCommand(properties: readonly string[], isSystem: boolean): [string, ...string[]] {
  const which = isSystem ? "--system" : "--user";
  const set = properties.map((property) => `--property=${property}`);
  return ["systemd-run", which, "--scope", "--quiet", "--collect", ...set, "--", qemu];
}

/** The host's port in what QEMU's monitor tells of its network, `info usernet`. */
export function forwardedPort(answer: string): number | undefined {
  const port = /TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+22\b/.exec(answer)?.[1];
  return port === undefined ? undefined : Number(port);
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
  if (boot.certificate === undefined) await copyFile(own, variables.path);
  else await writeFile(variables.path, await enrolled(own, boot.certificate));
  await chmod(variables.path, 0o600);
  const { code, needsSmm } = firmware;
  return { kind: "uefi", code, variables, needsSmm, program: boot.program, kernelCommandLine };
}

/** The variables of a template, and the certificate's owner as who decides what is started. */
async function enrolled(template: string, certificate: string): Promise<Uint8Array> {
  const { der } = decodeCertificate(await readFile(certificate), certificate);
  return enrollKeys(await readFile(template), signatureList(der), Math.floor(Date.now() / 1000));
}

async function majorVersion(signal: AbortSignal | undefined): Promise<number> {
  const { stdout } = await runTool(qemu, ["--version"], { signal });
  return Number(/version (\d+)/.exec(stdout)?.[1] ?? 0);
}
