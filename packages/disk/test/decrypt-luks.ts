import { rmSync } from "node:fs";
import { run } from "@imgtool/testkit";

/**
 * Decrypts a volume in place by cryptsetup, whose own code does it for files: no device-mapper, no root.
 * The content is at the beginning of the file then, and what remains of its end means nothing.
 */
export function decryptLuks(volume: string, keyFile: string): void {
  // In format 2 the header can only be taken off into a file of its own.
  const header = `${volume}.header`;
  const how = ["--decrypt", "--header", header, "--force-offline-reencrypt", "--batch-mode", "--key-file", keyFile];
  run("cryptsetup", ["reencrypt", ...how, volume]);
  rmSync(header);
}
