/**
 * A throw-away disk with a directory image's tree, and the kernel to boot it with: virtual machines
 * have disks, and no folder of this machine.
 * @module
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { compareVersions } from "@imgtool/config";
import { systemErrorCode, type Progress } from "@imgtool/core";
import { makeDisk } from "@imgtool/disk";
import { pathExists, runTool } from "@imgtool/host";
import { resolveInTree } from "@imgtool/sandbox";
import type { ImagePartition } from "./image.ts";

export interface TreeDisk {
  readonly path: string;
  readonly partitions: readonly ImagePartition[];
}

export interface TreeDiskOptions {
  readonly tree: string;
  readonly output: string;
  readonly architecture: string;
  /** Bytes that the disk has at least. */
  readonly size?: number | undefined;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

/** Nothing is derived from it that outlives the machine. */
const seed = "5f2a7e57-51c8-4b0a-9d6a-2f7d6e1f0b3c";

/** Bytes that the guest can write before its disk is full; the file is sparse. */
const room = 4 * 1024 ** 3;

/** Makes an ext4 root partition with the tree and room to write. */
export async function makeTreeDisk(options: TreeDiskOptions): Promise<TreeDisk> {
  const { tree, output, architecture, progress, signal } = options;
  const { stdout } = await runTool("du", ["--summarize", "--apparent-size", "--block-size=1", "--", tree], { signal });
  const used = Number.parseInt(stdout, 10);
  const { partitions } = await makeDisk({
    output,
    tree,
    architecture,
    seed,
    definitions: [
      {
        type: "root",
        format: "ext4",
        copyFiles: [{ source: "/", target: "/" }],
        sizeMin: Math.max(2 * used + room, options.size ?? 0),
      },
    ],
    progress,
    signal,
  });
  return { path: output, partitions };
}

export interface TreeKernel {
  readonly kernel: string;
  readonly initrds: readonly string[];
}

/** The newest kernel of a tree, with its initrd where it has one, or undefined. */
export async function findTreeKernel(tree: string): Promise<TreeKernel | undefined> {
  const found: { version: string; kernel: string }[] = [];
  for (const name of await names(tree, "boot")) {
    const version = /^vmlinu[xz]-(.+)$/.exec(name)?.[1];
    if (version !== undefined) found.push({ version, kernel: `boot/${name}` });
  }
  for (const version of await names(tree, "usr/lib/modules"))
    found.push({ version, kernel: `usr/lib/modules/${version}/vmlinuz` });
  for (const { version, kernel } of found.sort((a, b) => compareVersions(b.version, a.version))) {
    const path = await resolveInTree(tree, kernel, { followLast: true });
    if (!(await pathExists(path))) continue;
    const initrds: string[] = [];
    for (const name of [`boot/initrd.img-${version}`, `boot/initramfs-${version}.img`, `boot/initrd-${version}`]) {
      const initrd = await resolveInTree(tree, name, { followLast: true });
      if (initrds.length === 0 && (await pathExists(initrd))) initrds.push(initrd);
    }
    return { kernel: path, initrds };
  }
  return undefined;
}

async function names(tree: string, folder: string): Promise<string[]> {
  try {
    return await readdir(join(await resolveInTree(tree, folder, { followLast: true })));
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(systemErrorCode(error) ?? "")) return [];
    throw error;
  }
}
