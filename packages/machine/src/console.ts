/**
 * Connects a machine's console to this process's terminal, or to whatever its standard streams are.
 * @module
 */
import type { Writable } from "node:stream";
import type { RunningMachine } from "./start-machine.ts";

export interface ConsoleStreams {
  readonly input: NodeJS.ReadStream;
  readonly output: Writable;
}

/** Ctrl-], as telnet and systemd-nspawn have it. */
const escape = 0x1d;
/** How often, and within which time in milliseconds, it ends the machine. */
const escapes = 3;
const escapeWindow = 1000;

/** Shows what the guest prints; nothing is typed. Resolves as `machine.ended`. */
export async function showConsole(machine: RunningMachine, output: Writable): Promise<number> {
  machine.output?.pipe(output, { end: false });
  return await machine.ended;
}

/**
 * Shows what the guest prints and sends it what is typed. A terminal is in raw mode meanwhile: Ctrl-C
 * is the guest's, and Ctrl-] pressed three times within a second ends the machine.
 */
export async function attachConsole(machine: RunningMachine, { input, output }: ConsoleStreams): Promise<number> {
  const presses = escapeCounter();
  const typed = (bytes: Buffer): void => {
    machine.input?.write(bytes);
    if (input.isTTY && presses(bytes, performance.now())) machine.kill();
  };
  if (input.isTTY) input.setRawMode(true);
  input.on("data", typed);
  try {
    return await showConsole(machine, output);
  } finally {
    input.off("data", typed);
    if (input.isTTY) input.setRawMode(false);
    input.pause();
    // A standard input that is a pipe would keep the process from ending; one that is a file has no unref.
    if ("unref" in input && typeof input.unref === "function") input.unref();
  }
}

/** A function that says whether the bytes complete three presses of the escape within a second. */
export function escapeCounter(): (bytes: Uint8Array, now: number) => boolean {
  let times: number[] = [];
  return (bytes, now) => {
    for (const byte of bytes) {
      if (byte !== escape) {
        times = [];
        continue;
      }
      times = [...times.filter((time) => now - time < escapeWindow), now];
      if (times.length >= escapes) return true;
    }
    return false;
  };
}
