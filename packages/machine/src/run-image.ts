/**
 * Runs an image in a virtual machine, as the project's settings ask for.
 * @module
 */
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import type { RuntimeConfig } from "@imgtool/config";
import { ConfigError, EnvironmentError, silentProgress, type Progress } from "@imgtool/core";
import { isRoot } from "@imgtool/sandbox";
import { chooseBoot } from "./choose-boot.ts";
import { wantsScratch } from "./drives.ts";
import { growDisk } from "./grow-disk.ts";
import type { RunnableImage } from "./image.ts";
import { guestCredentials } from "./guest-credentials.ts";
import { sharedFolders } from "./shares.ts";
import type { MachineOptions } from "./start-machine.ts";
import { wantsTpm } from "./tpm.ts";
import { findTreeKernel, makeTreeDisk } from "./tree-disk.ts";
import type { MachineDisk } from "./virtual-machine.ts";
import { chooseVsock } from "./vsock.ts";

export interface PlanOptions {
  readonly progress?: Progress;
  readonly signal?: AbortSignal | undefined;
  /** Further arguments of QEMU, after those of QemuArgs=. */
  readonly extraArguments?: readonly string[];
}

export interface MachinePlan extends AsyncDisposable {
  readonly options: MachineOptions;
}

/**
 * What to start for an image. The plan holds what the machine needs on disk, and is disposed of when
 * the machine has ended.
 * @throws ConfigError as chooseBoot does, `monitor-unsupported`, `ssh-certificate-missing`,
 *   EnvironmentError `vsock-missing`, `root-needed`
 */
export async function planMachine(
  image: RunnableImage,
  runtime: RuntimeConfig,
  options: PlanOptions = {},
): Promise<MachinePlan> {
  const { signal } = options;
  const progress = options.progress ?? silentProgress;
  checkSettings(runtime, progress);
  const stack = new AsyncDisposableStack();
  try {
    // What was split off the image belongs together; without it the tree may have a kernel, with or without an initrd.
    const isAlone = image.kind === "directory" && image.kernel === undefined;
    const kernel = isAlone ? await findTreeKernel(image.path) : undefined;
    const known = { ...image, ...kernel };
    // What cannot boot is said before a disk is made for it.
    let boot = chooseBoot(runtime, known);
    let disk: MachineDisk = {
      path: image.path,
      format: image.kind === "directory" ? "raw" : image.diskFormat,
      ephemeral: runtime.ephemeral || image.kind === "directory",
      kind: runtime.cdrom ? "cdrom" : runtime.removable ? "removable" : "disk",
      sectorSize: image.sectorSize,
    };
    const makeFolder = async (): Promise<string> => {
      const folder = await mkdtemp(join(tmpdir(), "imgtool-vm-disk-"));
      stack.defer(async () => await rm(folder, { recursive: true, force: true }));
      return folder;
    };
    if (image.kind === "disk" && runtime.runtimeSize !== undefined) {
      const overlay = join(await makeFolder(), "grown");
      disk = await growDisk({ disk, size: runtime.runtimeSize, overlay, signal });
    }
    if (image.kind === "directory") {
      const folder = await makeFolder();
      const { architecture } = image;
      const made = await makeTreeDisk({
        tree: image.path,
        output: join(folder, "disk"),
        architecture,
        size: runtime.runtimeSize,
        progress,
        signal,
      });
      disk = { ...disk, path: made.path };
      boot = chooseBoot(runtime, { ...known, partitions: made.partitions });
      if (!runtime.ephemeral) progress.log("info", "the machine runs on a copy of the folder, which goes with it");
    }
    const resources = stack.move();
    return {
      options: {
        name: runtime.machine ?? image.name,
        architecture: image.architecture,
        boot,
        disks: image.kind === "uki" ? [] : [disk],
        cpus: runtime.cpus === 0 ? availableParallelism() : runtime.cpus,
        ram: runtime.ram,
        kvm: runtime.kvm,
        credentials: await guestCredentials(runtime),
        network: runtime.runtimeNetwork,
        forwardSsh: runtime.runtimeNetwork === "user" && runtime.sshKey !== undefined,
        journal: runtime.runtimeNetwork === "user" ? runtime.forwardJournal : undefined,
        drives: runtime.drives,
        scratch: (await wantsScratch(runtime.runtimeScratch, runtime.fileSystem)) ? runtime.fileSystem : undefined,
        folders: sharedFolders(runtime),
        tpm: await wantsTpm(runtime.tpm, boot.kind),
        vsockConnection: await chooseVsock(runtime, image.path),
        screen: runtime.console === "gui",
        unitProperties: runtime.unitProperties,
        extraArguments: [...runtime.qemuArgs, ...(options.extraArguments ?? [])],
        progress,
        signal,
      },
      [Symbol.asyncDispose]: async () => await resources.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

function checkSettings(
  { virtualMachineMonitor, runtimeNetwork, forwardJournal }: RuntimeConfig,
  progress: Progress,
): void {
  if (virtualMachineMonitor !== "qemu") {
    throw new ConfigError(`VirtualMachineMonitor=${virtualMachineMonitor} is not supported`, {
      code: "monitor-unsupported",
      hint: "use VirtualMachineMonitor=qemu",
    });
  }
  if (runtimeNetwork === "interface" && !isRoot()) {
    throw new EnvironmentError("RuntimeNetwork=interface makes a network interface on this machine, which needs root", {
      code: "root-needed",
      hint: "run it with sudo, or use RuntimeNetwork=user",
    });
  }
  if (forwardJournal !== undefined && runtimeNetwork !== "user")
    progress.log("warning", "ForwardJournal= has no effect: a virtual machine's journal needs RuntimeNetwork=user");
}
