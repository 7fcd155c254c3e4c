/**
 * Autologin=: consoles whose agetty(8) logs root in. The drop-ins are for the services that mkosi has them
 * for: the console of a container, the first virtual terminal, and the console of a virtual machine.
 * @module
 */
import type { ImageConfig } from "@imgtool/config";
import { writeTreeFile } from "../tree-file.ts";

/** What each service gives agetty besides the words that all have in common. */
const services: Readonly<Record<string, string>> = {
  "console-getty.service": "--noclear --keep-baud console 115200,38400,9600",
  "getty@tty1.service": "--noclear -",
  "serial-getty@hvc0.service": "--keep-baud 115200,57600,38400,9600 -",
};

/** Writes the drop-ins to the tree of an image that asks for them. */
export async function configureAutologin(tree: string, { autologin }: ImageConfig): Promise<void> {
  if (!autologin) return;
  for (const [service, words] of Object.entries(services)) {
    const lines = [
      "[Service]",
      "ExecStart=",
      String.raw`ExecStart=-agetty -o '-f -p -- \\u' --autologin root ${words} $TERM`,
      "StandardInput=tty",
      "StandardOutput=tty",
      "",
    ];
    await writeTreeFile(tree, `usr/lib/systemd/system/${service}.d/autologin.conf`, lines.join("\n"));
  }
}
