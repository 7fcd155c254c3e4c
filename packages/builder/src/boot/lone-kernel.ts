/**
 * What a tree without a kernel that can be used has instead: a kernel in /boot whose modules have no folder,
 * or modules without their kernel. Both come of files that were copied without their other half.
 * @module
 */
import { readdir } from "node:fs/promises";
import { systemErrorCode } from "@imgtool/core";
import { resolveInTree } from "@imgtool/sandbox";

export interface MissingHalf {
  readonly message: string;
  readonly hint: string;
  readonly data: { readonly version: string; readonly expected: string };
}

/** @param kernelPackage the package that has a kernel, for hints */
export async function findMissingHalf(tree: string, kernelPackage: string): Promise<MissingHalf | undefined> {
  const modules = await modulesWithoutKernel(tree);
  const kernel = (await names(tree, "boot")).find((name) => /^vmlinu[xz]-./.test(name));
  if (kernel !== undefined) {
    const version = kernel.slice("vmlinuz-".length);
    const expected = `/usr/lib/modules/${version}`;
    const found = modules.length === 0 ? "" : `, found ${modules.map((name) => `/usr/lib/modules/${name}`).join(", ")}`;
    return {
      message: `the image has the kernel /boot/${kernel} without its modules: expected the folder ${expected}${found}`,
      hint: "add its modules, too; for a kernel that has none the folder alone will do",
      data: { version, expected },
    };
  }
  const [version] = modules;
  if (version === undefined) return undefined;
  const expected = `/usr/lib/modules/${version}/vmlinuz`;
  return {
    message: `the image has the modules /usr/lib/modules/${version} without their kernel: expected ${expected} or /boot/vmlinuz-${version}`,
    hint: `add ${kernelPackage} to Packages=, or copy the kernel there`,
    data: { version, expected },
  };
}

async function modulesWithoutKernel(tree: string): Promise<string[]> {
  const found: string[] = [];
  for (const version of (await names(tree, "usr/lib/modules")).sort()) {
    const files = await names(tree, `usr/lib/modules/${version}`);
    // A folder with other things in it, such as those of DKMS, says nothing about a kernel.
    const isOne = files.some((name) => name === "kernel" || /^modules\.(?:order|builtin|dep)$/.test(name));
    if (isOne && !files.some((name) => /^vmlinu[xz]/.test(name))) found.push(version);
  }
  return found;
}

async function names(tree: string, path: string): Promise<string[]> {
  try {
    return (await readdir(await resolveInTree(tree, path, { followLast: true }))).sort();
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    throw error;
  }
}
