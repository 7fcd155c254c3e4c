/**
 * The kernel's command line of an image.
 * @module
 */
import type { ImageConfig } from "@imgtool/config";
import type { DiskPartition } from "@imgtool/disk";
import { readTreeFile } from "../tree-file.ts";

export interface RootHash {
  /** Hexadecimal. */
  readonly hash: string;
  /** What the hash protects. */
  readonly what: "root" | "usr";
}

/** The hash by which the first stage finds and checks what it mounts: of the root, or else of /usr. */
export function rootHashOf(partitions: readonly DiskPartition[]): RootHash | undefined {
  for (const what of ["root", "usr"] as const) {
    const hash = partitions.find(
      ({ type, rootHash }) => type.startsWith(`${what}-`) && rootHash !== undefined,
    )?.rootHash;
    if (hash !== undefined) return { hash, what };
  }
  return undefined;
}

/**
 * As mkosi has it: the image's own /etc/kernel/cmdline or /usr/lib/kernel/cmdline, the root hash, then
 * KernelCommandLine=, in which `root=PARTUUID` and `mount.usr=PARTUUID` get the partition's.
 */
export async function kernelCommandLine(
  config: ImageConfig,
  tree: string,
  partitions: readonly DiskPartition[],
): Promise<string> {
  const own =
    (await readTreeFile(tree, "etc/kernel/cmdline")) ?? (await readTreeFile(tree, "usr/lib/kernel/cmdline")) ?? "";
  const rootHash = rootHashOf(partitions);
  const options = config.kernelCommandLine.map((option) => {
    const what = /^(?:root|mount\.usr)(?==PARTUUID$)/.exec(option)?.[0];
    if (what === undefined || rootHash !== undefined) return option;
    const uuid = partitions.find(({ type }) => type.startsWith(what === "root" ? "root" : "usr"))?.uuid;
    return uuid === undefined ? option : `${option}=${uuid}`;
  });
  return [
    ...(own.trim() === "" ? [] : [own.trim()]),
    ...(rootHash === undefined ? [] : [`${rootHash.what}hash=${rootHash.hash}`]),
    ...options,
  ].join(" ");
}
