/**
 * Boots an image, or runs a command in it, in systemd-nspawn(1).
 * @module
 */
import { once } from "node:events";
import { chmod, copyFile, constants, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RuntimeConfig } from "@imgtool/config";
import {
  AbortedError,
  ConfigError,
  EnvironmentError,
  ExistsError,
  ProcessError,
  silentProgress,
  systemErrorCode,
  type Progress,
} from "@imgtool/core";
import { pathExists, spawnTool } from "@imgtool/host";
import { isRoot, mappedUserIds } from "@imgtool/sandbox";
import { passPlainCredentials } from "./credentials.ts";
import { largeFolder } from "./drives.ts";
import { guestCredentials } from "./guest-credentials.ts";
import type { RunnableImage } from "./image.ts";
import { journalCredential, receiveJournal } from "./journal.ts";
import { PassedFiles } from "./passed-files.ts";
import { ownersOf, type SharedFolder, sharedFolders } from "./shares.ts";
import type { CredentialFile } from "./virtual-machine.ts";

/** As /proc/self/uid_map has them outside of user namespaces, in which systemd-nspawn cannot run. */
const allUserIds = 2 ** 32 - 1;

/** "boot" starts the image's init system, "shell" one command. */
export type ContainerMode = "boot" | "shell";

export interface ContainerOptions {
  readonly image: RunnableImage;
  readonly runtime: Pick<
    RuntimeConfig,
    | "credentials"
    | "ephemeral"
    | "forwardJournal"
    | "kernelCommandLine"
    | "kernelCommandLineExtra"
    | "machine"
    | "nspawnSettings"
    | "register"
    | "runtimeBuildSources"
    | "runtimeHome"
    | "runtimeNetwork"
    | "runtimeScratch"
    | "runtimeTrees"
    | "ssh"
    | "sshCertificate"
    | "unitProperties"
  >;
  readonly mode: ContainerMode;
  /** The command for "shell" (default: a login shell of root), further arguments of the init for "boot". */
  readonly command: readonly string[];
  readonly progress?: Progress;
  readonly signal?: AbortSignal | undefined;
}

export interface ContainerHost {
  /** This machine runs systemd: it can keep the container's unit. */
  readonly hasSystemd: boolean;
  readonly credentials: readonly CredentialFile[];
  /** Folders that the container sees, with the owner of each. */
  readonly folders: readonly (SharedFolder & { readonly owner: number })[];
  /** A Unix socket that receives the container's journal. */
  readonly journalSocket: string | undefined;
}

/** Where a container finds the socket that its journal goes to. */
const journalPlace = "/run/host/journal/socket";

/**
 * Runs the container to its end with this process's standard streams. Returns its exit status: the
 * command's, or with "boot" that of `systemctl exit STATUS` in the container.
 * @throws EnvironmentError `root-needed`, `loop-devices-missing`, `registration-unavailable`, ConfigError
 *   `image-not-runnable`, `runtime-tree-missing`, AbortedError
 */
export async function runContainer(options: ContainerOptions): Promise<number> {
  const { image, runtime, mode, signal } = options;
  if (!isRoot() || (await mappedUserIds()) < allUserIds) {
    throw new EnvironmentError("running a container needs root", { code: "root-needed", hint: "run it with sudo" });
  }
  if (image.kind === "uki" || (image.kind === "disk" && image.diskFormat !== "raw")) {
    const what = image.kind === "uki" ? "unified kernel image" : `${image.diskFormat} disk`;
    throw new ConfigError(`systemd-nspawn cannot run a ${what}`, {
      code: "image-not-runnable",
      hint: "run it with imgtool vm, or build it with Format=disk",
    });
  }
  if (image.kind === "disk" && !(await pathExists("/dev/loop-control"))) {
    throw new EnvironmentError("systemd-nspawn needs loop devices to run a disk image, and there are none here", {
      code: "loop-devices-missing",
      hint: "load the kernel module loop, run the image with imgtool vm, or build it with Format=directory",
    });
  }
  const hasSystemd = await pathExists("/run/systemd/system");
  checkUnit(runtime, hasSystemd, options.progress ?? silentProgress);
  const folders = await foldersOf(runtime);
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "imgtool-boot-"));
  stack.defer(async () => await rm(folder, { recursive: true, force: true }));
  if (runtime.nspawnSettings !== undefined) {
    const place = await placeSettings(runtime.nspawnSettings, machineName(options));
    stack.defer(async () => await rm(place, { force: true }));
  }
  if (runtime.runtimeScratch === "enabled" || (runtime.runtimeScratch === "auto" && image.kind === "disk")) {
    const scratch = await mkdtemp(join(largeFolder(), "imgtool-scratch-"));
    stack.defer(async () => await rm(scratch, { recursive: true, force: true }));
    await chmod(scratch, 0o1777);
    folders.push({ source: scratch, target: "/var/tmp", owner: 0 });
  }
  let journalSocket: string | undefined;
  if (mode === "boot" && runtime.forwardJournal !== undefined) {
    journalSocket = join(folder, "journal");
    stack.use(await receiveJournal(runtime.forwardJournal, journalSocket, signal));
  }
  const files = stack.use(new PassedFiles());
  const credentials = await guestCredentials(runtime);
  if (journalSocket !== undefined) credentials[journalCredential] = journalPlace;
  const passed = passPlainCredentials(credentials, files);
  const args = containerArguments(options, { credentials: passed, hasSystemd, folders, journalSocket });
  const child = await spawnTool("systemd-nspawn", args, {
    stdio: ["inherit", "inherit", "inherit", ...files.descriptors],
    terminal: true,
    // It then ends what runs in the container; killed, it would leave that running.
    endsWithParent: "TERM",
    signal,
  });
  const [code, killedBy] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  if (signal?.aborted === true) throw new AbortedError("the container was stopped");
  if (code === null) {
    throw new ProcessError(`systemd-nspawn was killed by ${String(killedBy)}`, { data: { signal: killedBy } });
  }
  return code;
}

/** The arguments of systemd-nspawn. Nothing here looks at the host. */
export function containerArguments(options: ContainerOptions, host: ContainerHost): string[] {
  const { image, runtime, mode, command } = options;
  const network = {
    user: ["--resolv-conf=auto"],
    interface: ["--private-network", "--network-veth"],
    none: ["--private-network"],
  }[runtime.runtimeNetwork];
  const kernel = mode === "boot" ? kernelArguments(runtime) : { environment: [], init: [] };
  return [
    "--quiet",
    image.kind === "directory" ? `--directory=${image.path}` : `--image=${image.path}`,
    // The container's journal is its own.
    "--link-journal=no",
    `--machine=${machineName(options)}`,
    // Without systemd there is nobody to register with, nor a unit to make.
    ...(host.hasSystemd ? registration(runtime) : ["--register=no", "--keep-unit"]),
    ...(host.hasSystemd ? runtime.unitProperties.map((property) => `--property=${property}`) : []),
    ...(runtime.ephemeral ? ["--ephemeral"] : []),
    ...network,
    // Not with what is mounted below: the image itself is often there.
    ...host.folders.map(
      ({ source, target, owner }) =>
        `--bind=${colonless(source)}:${colonless(target)}:norbind,${owner === 0 ? "noidmap" : "rootidmap"}`,
    ),
    ...(host.journalSocket === undefined ? [] : [`--bind=${colonless(host.journalSocket)}:${journalPlace}`]),
    ...host.credentials.map(({ name, path }) => `--load-credential=${name}:${path}`),
    ...kernel.environment.map((assignment) => `--setenv=${assignment}`),
    ...(mode === "boot" ? ["--boot"] : []),
    ...(kernel.init.length + command.length === 0 ? [] : ["--", ...kernel.init, ...command]),
  ];
}

function registration({ register }: Pick<RuntimeConfig, "register">): string[] {
  return register === "auto" ? [] : [`--register=${register === "enabled" ? "yes" : "no"}`];
}

/** In systemd-nspawn's lists of paths a colon of a path has a backslash. */
function colonless(path: string): string {
  return path.replaceAll(/[\\:]/g, String.raw`\$&`);
}

/** What only systemd of this machine can do. */
function checkUnit(
  { register, unitProperties }: Pick<RuntimeConfig, "register" | "unitProperties">,
  hasSystemd: boolean,
  progress: Progress,
): void {
  if (hasSystemd) return;
  if (register === "enabled") {
    throw new EnvironmentError("Register=yes needs systemd-machined, and this machine does not run systemd", {
      code: "registration-unavailable",
      hint: "use Register=auto",
    });
  }
  if (unitProperties.length > 0)
    progress.log("warning", "UnitProperties= has no effect: this machine does not run systemd");
}

async function foldersOf(runtime: ContainerOptions["runtime"]): Promise<(SharedFolder & { owner: number })[]> {
  const folders = sharedFolders(runtime);
  const owners = await ownersOf(folders);
  return folders.map((folder, index) => ({ ...folder, owner: owners[index] ?? 0 }));
}

/**
 * A kernel hands what it does not know to the init: `name=value` as variables, the rest and names with
 * a dot as arguments. A container's init gets the same.
 */
function kernelArguments(runtime: Pick<RuntimeConfig, "kernelCommandLine" | "kernelCommandLineExtra">): {
  readonly environment: string[];
  readonly init: string[];
} {
  const environment: string[] = [];
  const init: string[] = [];
  for (const argument of [...runtime.kernelCommandLine, ...runtime.kernelCommandLineExtra]) {
    const [name = ""] = argument.split("=", 1);
    const isVariable = argument.includes("=") && !name.includes(".");
    if (isVariable) environment.push(`${name.replaceAll("-", "_")}${argument.slice(name.length)}`);
    else init.push(argument);
  }
  return { environment, init };
}

/** Host names have letters, digits and hyphens. */
function machineName({ image, runtime }: Pick<ContainerOptions, "image" | "runtime">): string {
  const name = runtime.machine ?? image.name;
  const plain = name.replaceAll(/[^A-Za-z0-9.-]+/g, "-").replaceAll(/^[-.]+|[-.]+$/g, "");
  return plain === "" ? "image" : plain.slice(0, 64);
}

/** Copies a settings file to where systemd-nspawn looks first, and trusts what it reads. */
async function placeSettings(settings: string, machine: string): Promise<string> {
  const place = `/run/systemd/nspawn/${machine}.nspawn`;
  await mkdir("/run/systemd/nspawn", { recursive: true });
  try {
    await copyFile(settings, place, constants.COPYFILE_EXCL);
  } catch (error) {
    if (systemErrorCode(error) !== "EEXIST") throw error;
    throw new ExistsError(`${place} exists already: a container of that name runs, or has settings of its own`, {
      code: "settings-in-the-way",
      hint: "choose another name with Machine=",
      data: { path: place },
      cause: error,
    });
  }
  return place;
}
