/**
 * Runs an image in a virtual machine, as the project's settings ask for.
 * @module
 */
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import type { RuntimeConfig } from "@imgtool/config";
import { ConfigError, silentProgress, type Progress } from "@imgtool/core";
import { chooseBoot } from "./choose-boot.ts";
import type { RunnableImage } from "./image.ts";
import type { MachineOptions } from "./start-machine.ts";
import { findTreeKernel, makeTreeDisk } from "./tree-disk.ts";

export interface PlanOptions {
  readonly progress?: Progress;
  readonly signal?: AbortSignal | undefined;
  /** Further arguments of QEMU, after those of QemuArgs=. */
  readonly extraArguments?: readonly string[];
}

export interface MachinePlan extends AsyncDisposable {
  readonly options: MachineOptions;
}

/** A first boot on which nobody types would wait for the answers of systemd-firstboot(1) forever. */
const firstBootAnswers: Readonly<Record<string, string>> = {
  "firstboot.locale": "C.UTF-8",
  "firstboot.timezone": "UTC",
};

/**
 * What to start for an image. The plan holds what the machine needs on disk, and is disposed of when
 * the machine has ended.
 * @throws ConfigError as chooseBoot does, `monitor-unsupported`, `network-unsupported`, `console-unsupported`
 */
export async function planMachine(
  image: RunnableImage,
  runtime: RuntimeConfig,
  options: PlanOptions = {},
): Promise<MachinePlan> {
  checkSettings(runtime);
  const { signal } = options;
  const progress = options.progress ?? silentProgress;
  const stack = new AsyncDisposableStack();
  try {
    // What was split off the image belongs together; without it the tree may have a kernel, with or without an initrd.
    const isAlone = image.kind === "directory" && image.kernel === undefined;
    const kernel = isAlone ? await findTreeKernel(image.path) : undefined;
    const known = { ...image, ...kernel };
    // What cannot boot is said before a disk is made for it.
    let boot = chooseBoot(runtime, known);
    let path = image.path;
    if (image.kind === "directory") {
      const folder = await mkdtemp(join(tmpdir(), "imgtool-vm-disk-"));
      stack.defer(async () => await rm(folder, { recursive: true, force: true }));
      const { architecture } = image;
      const disk = await makeTreeDisk({
        tree: image.path,
        output: join(folder, "disk"),
        architecture,
        progress,
        signal,
      });
      path = disk.path;
      boot = chooseBoot(runtime, { ...known, partitions: disk.partitions });
      if (!runtime.ephemeral) progress.log("info", "the machine runs on a copy of the folder, which goes with it");
    }
    const resources = stack.move();
    return {
      options: {
        name: runtime.machine ?? image.name,
        architecture: image.architecture,
        boot,
        disks: [
          {
            path,
            format: image.kind === "directory" ? "raw" : image.diskFormat,
            ephemeral: runtime.ephemeral || image.kind === "directory",
            kind: runtime.cdrom ? "cdrom" : runtime.removable ? "removable" : "disk",
            sectorSize: image.sectorSize,
          },
        ],
        cpus: runtime.cpus === 0 ? availableParallelism() : runtime.cpus,
        ram: runtime.ram,
        kvm: runtime.kvm,
        credentials: { ...firstBootAnswers, ...runtime.credentials },
        network: runtime.runtimeNetwork === "none" ? "none" : "user",
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

function checkSettings({ virtualMachineMonitor, runtimeNetwork, console }: RuntimeConfig): void {
  if (virtualMachineMonitor !== "qemu") {
    throw new ConfigError(`VirtualMachineMonitor=${virtualMachineMonitor} is not supported`, {
      code: "monitor-unsupported",
      hint: "use VirtualMachineMonitor=qemu",
    });
  }
  if (runtimeNetwork === "interface") {
    throw new ConfigError("RuntimeNetwork=interface is for containers: virtual machines have user or none", {
      code: "network-unsupported",
      hint: "use RuntimeNetwork=user, or give QEMU a network with arguments after --",
    });
  }
  if (console === "gui") {
    throw new ConfigError("Console=gui is not supported: machines have a serial console and no screen", {
      code: "console-unsupported",
      hint: "use Console=native, or give QEMU a display with arguments after --",
    });
  }
}
