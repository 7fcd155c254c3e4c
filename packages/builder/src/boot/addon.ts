/**
 * Format=addon: what systemd-stub adds to the unified kernel images beside it (systemd-stub(7)), a kernel
 * command line and the files of the tree.
 * @module
 */
import { copyFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { efiArchitecture, signPeFile, writeAddon } from "@imgtool/boot";
import { NotFoundError, silentProgress } from "@imgtool/core";
import { pathExists } from "@imgtool/host";
import { resolveInTree } from "@imgtool/sandbox";
import type { BuildContext } from "../context.ts";
import { secureBootSigner } from "../signers.ts";
import { packTreeAsInitrd } from "./within-kernel.ts";

/**
 * Copies the stub of addons out of the tree, which loses what it has from its base; returns the path.
 * @throws NotFoundError `stub-missing`
 */
export async function keepAddonStub({ config, tree, workspace }: BuildContext): Promise<string> {
  const path = `/usr/lib/systemd/boot/efi/addon${efiArchitecture(config.architecture) ?? ""}.efi.stub`;
  const source = await resolveInTree(tree, path, { followLast: true });
  if (!(await pathExists(source)))
    throw new NotFoundError(`Format=addon: the image has no ${path}`, {
      code: "stub-missing",
      hint: "add systemd-boot (systemd 254 or newer) to what BaseTrees= names",
      data: { path, tree },
    });
  const stub = join(workspace, "addon.stub");
  await copyFile(source, stub);
  return stub;
}

/** Writes the addon, signed where there is a key. A tree with nothing in it makes one of the command line alone. */
export async function writeAddonOutput(context: BuildContext, stub: string, output: string): Promise<void> {
  const { config, tree, signal } = context;
  const commandLine = config.kernelCommandLine.join(" ");
  const initrds = (await readdir(tree)).length === 0 ? [] : [await packTreeAsInitrd(context)];
  await writeAddon({ output, stub, ...(commandLine === "" ? {} : { commandLine }), initrds, signal });
  const signer = await secureBootSigner(config, silentProgress);
  if (signer !== undefined) await signPeFile(output, { signer, signal });
}
