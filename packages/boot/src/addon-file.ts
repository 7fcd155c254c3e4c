/**
 * Writes addons: EFI programs that do nothing themselves, from which systemd-stub takes a further command
 * line and initrd (systemd-stub(7)). The bytes are ukify's.
 * @module
 */
import { readFile } from "node:fs/promises";
import { addonSbat, mergeSbat } from "./sbat.ts";
import { writeSections, type SectionSource } from "./section-file.ts";

export interface WriteAddonOptions {
  /** Path of the addon; whatever is there is replaced. Removed again after an error. */
  readonly output: string;
  /** Path of systemd's addon stub, addon<arch>.efi.stub. */
  readonly stub: string;
  readonly commandLine?: string;
  /** Paths, joined in this order, each on a grain of four bytes. */
  readonly initrds: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/**
 * Writes an addon; returns its size in bytes.
 * @throws as layoutUki; EnvironmentError `file-changed` when a part changes while it is copied
 */
export async function writeAddon({
  output,
  stub,
  commandLine,
  initrds,
  signal,
}: WriteAddonOptions): Promise<{ size: number }> {
  const sections: SectionSource[] = [
    ...(commandLine === undefined ? [] : [{ name: ".cmdline", content: new TextEncoder().encode(`${commandLine}\0`) }]),
    ...(initrds.length === 0 ? [] : [{ name: ".initrd", content: initrds }]),
    { name: ".sbat", content: mergeSbat([addonSbat]) },
  ];
  return await writeSections({ output, stub: await readFile(stub), sections, signal });
}
