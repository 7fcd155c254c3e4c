/**
 * Boots an image, or runs a command in it, in systemd-nspawn(1).
 * @module
 */
import { once } from "node:events";
import { copyFile, constants, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RuntimeConfig } from "@imgtool/config";
import { AbortedError, ConfigError, EnvironmentError, ExistsError, ProcessError, systemErrorCode } from "@imgtool/core";
import { pathExists, spawnTool } from "@imgtool/host";
import { isRoot, mappedUserIds } from "@imgtool/sandbox";
import { writePlainCredentials } from "./credentials.ts";
import type { RunnableImage } from "./image.ts";
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
    | "kernelCommandLine"
    | "kernelCommandLineExtra"
    | "machine"
    | "nspawnSettings"
    | "runtimeNetwork"
  >;
  readonly mode: ContainerMode;
  /** The command for "shell" (default: a login shell of root), further arguments of the init for "boot". */
  readonly command: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

export interface ContainerHost {
  /** This machine runs systemd: it can keep the container's unit. */
  readonly hasSystemd: boolean;
  readonly credentials: readonly CredentialFile[];
}

/**
 * Runs the container to its end with this process's standard streams. Returns its exit status: the
 * command's, or with "boot" that of `systemctl exit STATUS` in the container.
 * @throws EnvironmentError `root-needed`, `loop-devices-missing`, ConfigError `image-not-runnable`,
 *   AbortedError
 */
export async function runContainer(options: ContainerOptions): Promise<number> {
  const { image, signal } = options;
  if (!isRoot() || (await mappedUserIds()) < allUserIds) {
    throw new EnvironmentError("running a container needs root", { code: "root-needed", hint: "run it with sudo" });
  }
  if (image.kind === "disk" && image.diskFormat !== "raw") {
    throw new ConfigError(`systemd-nspawn cannot run a ${image.diskFormat} disk`, {
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
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "imgtool-boot-"));
  stack.defer(async () => await rm(folder, { recursive: true, force: true }));
  if (options.runtime.nspawnSettings !== undefined) {
    const place = await placeSettings(options.runtime.nspawnSettings, machineName(options));
    stack.defer(async () => await rm(place, { force: true }));
  }
  const credentials = await writePlainCredentials(options.runtime.credentials, folder);
  const hasSystemd = await pathExists("/run/systemd/system");
  const args = containerArguments(options, { credentials, hasSystemd });
  const child = await spawnTool("systemd-nspawn", args, { stdio: "inherit", terminal: true, signal });
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
    ...(host.hasSystemd ? [] : ["--register=no", "--keep-unit"]),
    ...(runtime.ephemeral ? ["--ephemeral"] : []),
    ...network,
    ...host.credentials.map(({ name, path }) => `--load-credential=${name}:${path}`),
    ...kernel.environment.map((assignment) => `--setenv=${assignment}`),
    ...(mode === "boot" ? ["--boot"] : []),
    ...(kernel.init.length + command.length === 0 ? [] : ["--", ...kernel.init, ...command]),
  ];
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
