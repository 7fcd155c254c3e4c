/**
 * `imgtool genkey`: a key and its certificate for Secure Boot, verity and all else that a project signs; with
 * --store, the key of an encrypted chunk store.
 * @module
 */
import { constants } from "node:fs";
import { copyFile, rm, writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join, resolve } from "node:path";
import { ConfigError, ExistsError } from "@imgtool/core";
import { flush, pathExists, temporaryName } from "@imgtool/host";
import { formatStoreKey, generateStoreKey, type Padding, paddings } from "@imgtool/store";
import { type Command, Option } from "commander";
import { runVerb, verbCommand } from "../verb.ts";

interface GenkeyOptions {
  readonly directory: string;
  readonly genkeyCommonName: string;
  readonly genkeyValidDays: string;
  readonly store?: string;
  readonly padding: Padding;
  readonly force?: boolean;
}

export function command(): Command {
  const genkey = verbCommand("genkey", "Make a private key and its certificate: mkosi.key and mkosi.crt.")
    .option("-C, --directory <path>", "the project directory", ".")
    .option("--genkey-common-name <name>", "whom the certificate names (%u: the user)", "imgtool of %u")
    .option("--genkey-valid-days <days>", "how long the certificate is valid", "730")
    .option("--store <file>", "make the key of an encrypted chunk store instead: the file of imgtool make --key")
    .addOption(
      new Option("--padding <how>", "of that key: whether lengths of chunks are rounded up to few different ones")
        .choices([...paddings])
        .default("buckets"),
    )
    .option("-f, --force", "replace a key that is there");
  genkey.addHelpText(
    "after",
    "\nThe names that the project's settings look for: SecureBootKey=, VerityKey= and their certificates.\nWho has the key can sign for every device that trusts the certificate: keep it out of version control.",
  );
  return genkey.action(() =>
    runVerb(genkey, async ({ reporter }) => {
      const options = genkey.opts<GenkeyOptions>();
      if (options.store !== undefined) {
        await refuseExisting([options.store], options.force, "what is encrypted with it can only be read with it");
        const key = generateStoreKey(options.padding);
        await place(options.store, formatStoreKey(key), 0o600, options.force === true);
        reporter.result({ key: options.store, id: key.id, padding: key.padding }, `${options.store}  ${key.id}`);
        return;
      }
      const validDays = Number(options.genkeyValidDays);
      if (!Number.isInteger(validDays) || validDays < 1 || validDays > 100_000) {
        throw new ConfigError(`--genkey-valid-days: expected a number of days, found "${options.genkeyValidDays}"`, {
          hint: "a whole number from 1 to 100000",
        });
      }
      const directory = resolve(options.directory);
      const key = join(directory, "mkosi.key");
      const certificate = join(directory, "mkosi.crt");
      await refuseExisting([key, certificate], options.force, "devices that trust it will not trust another one");
      const { generateKey } = await import("@imgtool/cms/node");
      const commonName = options.genkeyCommonName.replaceAll("%u", userInfo().username);
      const pair = await generateKey({ commonName, validDays });
      await place(key, pair.key, 0o600, options.force === true);
      await place(certificate, pair.certificate, 0o644, options.force === true);
      reporter.result({ key, certificate, commonName, validDays }, `${key}\n${certificate}`);
    }),
  );
}

/** @throws ExistsError `key-exists` */
async function refuseExisting(paths: readonly string[], force: boolean | undefined, reason: string): Promise<void> {
  for (const path of paths) {
    if (force === true || !(await pathExists(path))) continue;
    throw new ExistsError(`${path} exists already`, {
      code: "key-exists",
      hint: `${reason}; -f replaces it`,
      data: { path },
    });
  }
}

/** Writes a file whole or not at all; one that has come meanwhile stays, unless it is to be replaced. */
async function place(path: string, text: string, mode: number, replace: boolean): Promise<void> {
  const temporary = temporaryName(path);
  try {
    await writeFile(temporary, text, { mode, flag: "wx" });
    await flush(temporary);
    if (replace) await rm(path, { force: true });
    // Keeps the mode, and fails where something stands.
    await copyFile(temporary, path, constants.COPYFILE_EXCL);
    await flush(path);
  } finally {
    await rm(temporary, { force: true });
  }
}
