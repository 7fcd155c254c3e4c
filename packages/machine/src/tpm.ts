/**
 * A TPM in software, swtpm(8), that forgets everything with its machine.
 * @module
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Feature } from "@imgtool/config";
import { findTool } from "@imgtool/host";
import { startSideProgram } from "./side-program.ts";
import type { Boot } from "./virtual-machine.ts";

/** "auto" is a TPM where firmware measures into it and swtpm is there. */
export async function wantsTpm(feature: Feature, boot: Boot["kind"]): Promise<boolean> {
  return feature === "enabled" || (feature === "auto" && boot === "uefi" && (await findTool("swtpm")) !== undefined);
}

export interface StartedTpm extends AsyncDisposable {
  /** For QEMU's emulator backend. */
  readonly socket: string;
}

/**
 * Starts a TPM with its state in `folder`.
 * @throws EnvironmentError `tool-missing`, ProcessError `side-program-failed`
 */
export async function startTpm(folder: string, signal: AbortSignal | undefined): Promise<StartedTpm> {
  const state = join(folder, "tpm");
  await mkdir(state, { mode: 0o700 });
  const socket = join(folder, "tpm-control");
  const args = ["socket", "--tpm2", "--tpmstate", `dir=${state}`, "--ctrl", `type=unixio,path=${socket}`];
  const program = await startSideProgram("swtpm", args, { socket, signal });
  return { socket, [Symbol.asyncDispose]: async () => await program[Symbol.asyncDispose]() };
}
