/**
 * The partitions of a disk's definitions, with identifiers, formats and passphrases.
 * @module
 */
import { formatOf } from "./definitions.ts";
import type { DiskOptions } from "./disk-options.ts";
import { identifyPartitions, type IdentifiedPartition } from "./identify.ts";
import { luksDataOffset } from "./luks/index.ts";
import type { Part } from "./part.ts";
import { readPassphrases } from "./passphrases.ts";
import { largestUnaligned } from "./plan.ts";

/** The partitions of the definitions, before anything is known of their content. */
export function partsOf(options: DiskOptions): readonly Part[] {
  const passphrases = readPassphrases(options.definitions, options.passphraseFile);
  const identified = identifyPartitions(options.definitions, options);
  return options.definitions.map((definition, index): Part => {
    const one = identified[index] as IdentifiedPartition;
    const format = formatOf(definition);
    const minimized = definition.minimize !== undefined && definition.minimize !== "off";
    const last = options.last?.includes(one.type.designator ?? "") === true;
    return {
      last,
      identified: one,
      definition,
      format: format === "empty" ? undefined : format,
      minimized,
      passphrase: passphrases.get(definition),
      lead: passphrases.has(definition) ? luksDataOffset : 0,
      prepared: undefined,
      // Until it is known: so much that the disk is one of those that are aligned.
      least: last && minimized ? largestUnaligned : undefined,
      placement: { placed: false, offset: 0, size: 0 },
    };
  });
}
