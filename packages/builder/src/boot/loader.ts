/**
 * Installs systemd-boot into a tree's /efi, as `bootctl install` does without touching the machine.
 * @module
 */
import { chmod, copyFile } from "node:fs/promises";
import { defaultBootPath, signPeFile, systemdBootPath } from "@imgtool/boot";
import type { Signer } from "@imgtool/cms";
import { makeTreeFolder, readTreeFile, writeTreeFile } from "../tree-file.ts";
import { resolveInTree } from "@imgtool/sandbox";
import type { BootPlan } from "./plan.ts";

/** Makes the folders that become the ESP, and puts the boot loader there, signed where there is a key. */
export async function installLoader(tree: string, plan: BootPlan, signer: Signer | undefined): Promise<void> {
  // Nobody but root reads kernels, initrds and what they may hold.
  for (const folder of ["boot", "efi"]) await makeTreeFolder(tree, folder, 0o700);
  if (plan.loader === undefined) return;
  for (const path of [defaultBootPath(plan.efi), systemdBootPath(plan.efi)]) {
    const placed = await placeFile(plan.loader, tree, `efi${path}`);
    if (signer !== undefined) await signPeFile(placed, { signer });
  }
  // What bootctl writes: all defaults, to be changed by hand. A project's own file stays.
  if ((await readTreeFile(tree, "efi/loader/loader.conf")) === undefined)
    await writeTreeFile(tree, "efi/loader/loader.conf", "#timeout 3\n#console-mode keep\n", 0o600);
  await writeTreeFile(tree, "efi/loader/entries.srel", "type1\n", 0o600);
  await makeTreeFolder(tree, "boot/EFI/Linux", 0o700);
  await makeTreeFolder(tree, "boot/loader/entries", 0o700);
}

/** Copies a file of this machine to a path in the tree, readable for root alone. */
export async function placeFile(source: string, tree: string, path: string): Promise<string> {
  const target = await resolveInTree(tree, path, { followLast: true });
  await makeTreeFolder(tree, path.replace(/\/[^/]*$/, ""), 0o700);
  await copyFile(source, target);
  await chmod(target, 0o600);
  return target;
}
