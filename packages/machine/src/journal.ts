/**
 * ForwardJournal=: systemd-journal-remote(8) writes down what the running system's journal sends, which
 * that does from systemd 256 on (credential journal.forward_to_socket).
 * @module
 */
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { startSideProgram } from "./side-program.ts";

const program = "/lib/systemd/systemd-journal-remote";

/** The name of the credential that says where the journal goes. */
export const journalCredential = "journal.forward_to_socket";

/** A file ends with .journal; a folder gets a file for each machine. */
function journalArguments(output: string, listen: string): string[] {
  const mode = output.endsWith(".journal") ? "none" : "host";
  return [`--listen-raw=${listen}`, `--output=${output}`, `--split-mode=${mode}`];
}

/**
 * Starts to receive; disposing of it ends that.
 * @throws EnvironmentError `tool-missing`, ProcessError `side-program-failed`
 */
export async function receiveJournal(
  output: string,
  socket: string,
  signal: AbortSignal | undefined,
): Promise<AsyncDisposable> {
  await mkdir(output.endsWith(".journal") ? dirname(output) : output, { recursive: true });
  return await startSideProgram(program, journalArguments(output, socket), { socket, signal });
}
