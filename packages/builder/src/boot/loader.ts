/**
 * Installs systemd-boot into a tree's /efi, as `bootctl install` does without touching the machine.
 * @module
 */
import {
  defaultBootPath,
  secureBootVariables,
  signatureList,
  signPeFile,
  signVariable,
  systemdBootPath,
} from "@imgtool/boot";
import type { Signer } from "@imgtool/cms";
import type { ImageConfig } from "@imgtool/config";
import { makeTreeFolder, readTreeFile, writeTreeFile } from "../tree-file.ts";
import { placeFile } from "./place-file.ts";
import type { BootPlan } from "./plan.ts";
import { installShim } from "./shim.ts";

/**
 * Makes the folders that become the ESP, and puts the boot loader there, signed where there is a key and the
 * distribution has not signed it.
 */
export async function installLoader(
  tree: string,
  plan: BootPlan,
  signer: Signer | undefined,
  config: Pick<ImageConfig, "secureBootAutoEnroll" | "sourceDateEpoch">,
): Promise<void> {
  // Nobody but root reads kernels, initrds and what they may hold.
  for (const folder of ["boot", "efi"]) await makeTreeFolder(tree, folder, 0o700);
  if (plan.shim !== undefined) await installShim(tree, plan.shim, defaultBootPath(plan.efi), signer);
  if (plan.loader === undefined) return;
  for (const path of [plan.shim?.secondStage ?? defaultBootPath(plan.efi), systemdBootPath(plan.efi)]) {
    const placed = await placeFile(plan.loader, tree, `efi${path}`);
    if (signer !== undefined && !plan.signedLoader) await signPeFile(placed, { signer });
  }
  // What bootctl writes: all defaults, to be changed by hand. A project's own file stays.
  if ((await readTreeFile(tree, "efi/loader/loader.conf")) === undefined)
    await writeTreeFile(tree, "efi/loader/loader.conf", "#timeout 3\n#console-mode keep\n", 0o600);
  await writeTreeFile(tree, "efi/loader/entries.srel", "type1\n", 0o600);
  if (signer !== undefined && config.secureBootAutoEnroll) await offerKeys(tree, signer, config.sourceDateEpoch);
  await makeTreeFolder(tree, "boot/EFI/Linux", 0o700);
  await makeTreeFolder(tree, "boot/loader/entries", 0o700);
}

/**
 * Lays the keys out for systemd-boot, which enrolls `auto` in firmware in setup mode: from version 253 on by
 * itself in virtual machines, elsewhere when loader.conf says `secure-boot-enroll force`. One key is all
 * three, as with mkosi.
 */
async function offerKeys(tree: string, signer: Signer, seconds: number): Promise<void> {
  const folder = "efi/loader/keys/auto";
  await makeTreeFolder(tree, folder, 0o700);
  const list = signatureList(signer.certificate.der);
  for (const variable of secureBootVariables)
    await writeTreeFile(tree, `${folder}/${variable.name}.auth`, signVariable(variable, list, seconds, signer), 0o600);
}
