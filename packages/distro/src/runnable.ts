/**
 * Whether this machine can run the scripts of an image's packages.
 * @module
 */
import { readFile } from "node:fs/promises";
import { EnvironmentError } from "@imgtool/core";

/**
 * Scripts of packages run on this machine: it must be of the architecture, or have an emulator for it.
 * @param architecture rpm's name
 * @throws EnvironmentError `architecture-not-runnable`
 */
export async function requireRunnable(architecture: string): Promise<void> {
  if (await canRun(architecture)) return;
  throw new EnvironmentError(`this machine cannot run programs of the image's architecture, ${architecture}`, {
    code: "architecture-not-runnable",
    hint: "apt-get install qemu-user-static binfmt-support",
    data: { architecture },
  });
}

async function canRun(architecture: string): Promise<boolean> {
  const own: Readonly<Record<string, string>> = {
    x64: "x86_64",
    arm64: "aarch64",
    ppc64: "ppc64le",
    s390x: "s390x",
    riscv64: "riscv64",
  };
  if (own[process.arch] === architecture) return true;
  try {
    return (await readFile(`/proc/sys/fs/binfmt_misc/qemu-${architecture}`, "utf8")).startsWith("enabled");
  } catch {
    return false;
  }
}
