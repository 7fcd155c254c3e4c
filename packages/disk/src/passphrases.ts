/**
 * The passphrases of a disk's encrypted partitions.
 * @module
 */
import { ConfigError, type Progress } from "@imgtool/core";
import { describeDefinition, type PartitionDefinition } from "./definitions.ts";
import { readPassphrase } from "./luks/passphrase.ts";

/**
 * Reads the passphrase of every encrypted partition: that of its KeyFile=, or else of the file `common`.
 * @throws ConfigError `passphrase-missing` when there is none; what readPassphrase throws
 */
export function readPassphrases(
  definitions: readonly PartitionDefinition[],
  common: string | undefined,
  progress?: Progress,
): Map<PartitionDefinition, Uint8Array> {
  const contents = new Map<string, Uint8Array>();
  const passphrases = new Map<PartitionDefinition, Uint8Array>();
  for (const [index, definition] of definitions.entries()) {
    if (definition.encrypt !== "key-file") continue;
    const path = definition.keyFile ?? common;
    if (path === undefined)
      throw new ConfigError(`${describeDefinition(definition, index)}: Encrypt=key-file needs a passphrase`, {
        code: "passphrase-missing",
        hint: "write it into mkosi.passphrase, without a line end: (umask 077; printf %s PASSPHRASE >mkosi.passphrase)",
        data: { index, type: definition.type, origin: definition.origin },
      });
    const passphrase = contents.get(path) ?? readPassphrase(path, progress);
    contents.set(path, passphrase);
    passphrases.set(definition, passphrase);
  }
  return passphrases;
}
