/**
 * Whether the partitions that come last have room for what is known of their content, before any is made.
 * @module
 */
import { checkDefinitions } from "./check-definitions.ts";
import type { DiskOptions } from "./disk-options.ts";
import { partsOf } from "./parts-of.ts";
import { prepare } from "./prepare-part.ts";
import { mostOf } from "./size-parts.ts";
import type { ExpectedFile } from "./tree/scan.ts";

/**
 * Checks the partitions that come last and are vfat of a given size, which is planned without reading any
 * content: beginDisk with the same options finds what is missing as well, when all others are written.
 * @param expected files that they will have, as small as those can be
 * @throws ConfigError `filesystem-full` with the bytes that are `missing`; as makeDisk
 */
export async function checkRoom(
  options: Omit<DiskOptions, "output">,
  expected: readonly ExpectedFile[],
): Promise<void> {
  checkDefinitions(options.definitions, options);
  // The real plan tells of what it leaves out.
  const quiet: DiskOptions = { ...options, output: "", progress: undefined };
  const parts = partsOf(quiet);
  for (const [index, part] of parts.entries()) {
    if (!part.last || part.minimized || part.format !== "vfat" || part.definition.copyBlocks !== undefined) continue;
    const size = options.size ?? mostOf(parts, part, index, options.sectorSize);
    await prepare(quiet, parts, index, size - part.lead, expected);
  }
}
