/**
 * The kernels in a tree: /usr/lib/modules/VERSION/vmlinuz, newest first.
 * @module
 */
import { copyFile, open, readdir, readFile, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { kernelVersion, readPe } from "@imgtool/boot";
import { compareVersions, type ImageConfig } from "@imgtool/config";
import { FormatError, systemErrorCode } from "@imgtool/core";
import { pathExists } from "@imgtool/host";
import { resolveInTree } from "@imgtool/sandbox";
import { findDevicetree } from "./devicetree.ts";

export interface Kernel {
  /** As `uname -r` will print it. */
  readonly version: string;
  /** Paths on this machine, of the kernel and of the device tree that Devicetree= has for it. */
  readonly image: string;
  readonly devicetree?: string;
  /** The unified kernel image that came with it from the distribution. */
  readonly prebuilt?: string;
}

/**
 * Puts kernels that packages left in /boot (Debian's do) where every other distribution has them. The
 * copies in /boot stay.
 */
export async function placeKernels(tree: string): Promise<void> {
  const boot = await resolveInTree(tree, "boot", { followLast: true });
  for (const name of await names(boot)) {
    const match = /^(vmlinuz|vmlinux)-(.+)$/.exec(name);
    if (match === null) continue;
    const [, kind = "", version = ""] = match;
    const folder = await resolveInTree(tree, `usr/lib/modules/${version}`, { followLast: true });
    const source = await resolveInTree(tree, `boot/${name}`, { followLast: true });
    if (!(await pathExists(folder)) || (await pathExists(join(folder, kind)))) continue;
    const { atime, mtime } = await stat(source);
    await copyFile(source, join(folder, kind));
    await utimes(join(folder, kind), atime, mtime);
  }
}

/**
 * The kernels of a tree, newest first; unified kernel images among them do not count.
 * @param devicetree of Devicetree=
 * @throws NotFoundError `devicetree-missing`
 */
export async function findKernels(tree: string, devicetree?: string): Promise<Kernel[]> {
  const modules = await resolveInTree(tree, "usr/lib/modules", { followLast: true });
  const kernels: Kernel[] = [];
  for (const folder of (await names(modules)).sort((a, b) => compareVersions(b, a))) {
    const files = await names(join(modules, folder));
    const prebuilt = await findPrebuilt(tree, folder, files);
    const candidates = ["vmlinuz", "vmlinux"].flatMap((kind) => files.filter((name) => name.startsWith(kind)).sort());
    for (const name of candidates) {
      const image = await resolveInTree(tree, `usr/lib/modules/${folder}/${name}`, { followLast: true });
      if (!(await pathExists(image)) || (await isUnified(image))) continue;
      const found = devicetree === undefined ? undefined : await findDevicetree(tree, folder, devicetree);
      const version = kernelVersion(await readFile(image)) ?? folder;
      kernels.push({
        version,
        image,
        ...(found === undefined ? {} : { devicetree: found }),
        ...(prebuilt === undefined ? {} : { prebuilt }),
      });
      break;
    }
  }
  return kernels;
}

/** The first unified kernel image of a kernel's folder. */
async function findPrebuilt(tree: string, folder: string, files: readonly string[]): Promise<string | undefined> {
  for (const name of files.filter((one) => one.endsWith(".efi")).sort()) {
    const image = await resolveInTree(tree, `usr/lib/modules/${folder}/${name}`, { followLast: true });
    if ((await pathExists(image)) && (await isUnified(image))) return image;
  }
  return undefined;
}

async function isUnified(path: string): Promise<boolean> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    const head = Buffer.alloc(Math.min(size, 64 * 1024));
    await file.read(head, 0, head.length, 0);
    return readPe(head, size).sections.some(({ name }) => name === ".osrel" || name === ".cmdline");
  } catch (error) {
    if (error instanceof FormatError) return false;
    throw error;
  } finally {
    await file.close();
  }
}

async function names(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    throw error;
  }
}

/** The package that has a kernel, in the words of the distribution. */
export function kernelPackage({ distribution, architecture }: ImageConfig): string {
  if (distribution === "ubuntu") return "linux-image-generic";
  const names: Readonly<Record<string, string>> = { "x86-64": "amd64", x86: "686", arm64: "arm64", arm: "armmp" };
  return distribution === "debian" ? `linux-image-${names[architecture] ?? architecture}` : "a kernel";
}
