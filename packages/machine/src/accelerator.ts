/**
 * Whether KVM works here. That /dev/kvm can be opened says little: in a virtual machine without nested
 * virtualization every guest hangs or crashes. So a guest of seven instructions is run.
 * @module
 */
import { access, constants, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Feature } from "@imgtool/config";
import { EnvironmentError, ProcessError, throwIfAborted, type Progress } from "@imgtool/core";
import { runTool } from "@imgtool/host";

/** A boot sector that writes 16 to port 0xf4, where QEMU's isa-debug-exit ends with 2 * 16 + 1. */
const probeCode = Uint8Array.of(0xba, 0xf4, 0x00, 0xb0, 0x10, 0xee, 0xf4);
const probeStatus = 33;

/** Milliseconds. The probe takes 0.4 s under software emulation; a hanging guest ends after this. */
const probePatience = 15_000;

export interface AcceleratorOptions {
  readonly kvm: Feature;
  readonly qemu: string;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

/**
 * How QEMU shall run the guest.
 * @throws EnvironmentError `kvm-unusable` where KVM is asked for and does not work
 */
export async function chooseAccelerator(options: AcceleratorOptions): Promise<"kvm" | "tcg"> {
  const { kvm, progress } = options;
  if (kvm === "disabled") return "tcg";
  const problem = await kvmProblem(options);
  if (problem === undefined) return "kvm";
  if (kvm === "enabled") {
    throw new EnvironmentError(`KVM cannot be used: ${problem}`, {
      code: "kvm-unusable",
      hint: "KVM=auto falls back to software emulation, which is many times slower",
    });
  }
  progress.log("info", `no KVM (${problem}): the machine is emulated in software, which is many times slower`);
  return "tcg";
}

async function kvmProblem({ qemu, signal }: AcceleratorOptions): Promise<string | undefined> {
  try {
    await access("/dev/kvm", constants.R_OK | constants.W_OK);
  } catch {
    return "/dev/kvm is not there or may not be opened";
  }
  const folder = await mkdtemp(join(tmpdir(), "imgtool-kvm-"));
  try {
    const sector = Buffer.alloc(512);
    sector.set(probeCode);
    sector.set([0x55, 0xaa], 510);
    const disk = join(folder, "probe");
    await writeFile(disk, sector);
    const patience = AbortSignal.timeout(probePatience);
    await runTool(
      qemu,
      [
        "-no-user-config",
        "-nodefaults",
        "-display",
        "none",
        "-accel",
        "kvm",
        // As the guest gets it: there are hosts where KVM runs QEMU's default processor and not the host's.
        "-cpu",
        "host",
        "-m",
        "32",
        "-device",
        "isa-debug-exit,iobase=0xf4,iosize=1",
        "-drive",
        `file=${disk.replaceAll(",", ",,")},format=raw,if=floppy,readonly=on`,
        "-boot",
        "a",
      ],
      { signal: signal === undefined ? patience : AbortSignal.any([signal, patience]), success: [probeStatus] },
    );
    return undefined;
  } catch (error) {
    throwIfAborted(signal);
    const last = error instanceof ProcessError ? String(error.data["output"]).split("\n").at(-1) : undefined;
    return last === undefined || last === "" ? "a guest that should end at once hangs" : last;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
