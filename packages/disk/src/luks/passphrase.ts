/**
 * Files that hold a passphrase.
 * @module
 */
import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { ConfigError, errorMessage, NotFoundError, silentProgress, type Progress } from "@imgtool/core";
import { checkPassphrase } from "./format.ts";

/**
 * The bytes of the file, all of them, as cryptsetup takes a key file. Warns of a line end behind a text: it
 * belongs to the passphrase, and nobody can type it.
 * @throws NotFoundError `passphrase-not-found`; ConfigError `secret-open` when everybody can read the file,
 *   `passphrase-invalid` when it is empty or larger than 8 MiB
 */
export function readPassphrase(path: string, progress: Progress = silentProgress): Uint8Array {
  const bytes = readSecret(path);
  try {
    checkPassphrase(bytes);
  } catch (error) {
    if (error instanceof ConfigError) error.message = `${path}: ${error.message}`;
    throw error;
  }
  if (/^[\t\x20-\x7e]*\r?\n$/.test(bytes.toString("latin1")))
    progress.log(
      "warning",
      `${path} ends in a line end, which is a part of the passphrase: nobody can type it`,
      `write it without: printf %s PASSPHRASE >${path}`,
    );
  return bytes;
}

function readSecret(path: string): Buffer {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    throw new NotFoundError(`cannot read the passphrase ${path}: ${errorMessage(error)}`, {
      code: "passphrase-not-found",
      hint: "correct Passphrase= or KeyFile=",
      data: { path },
      cause: error,
    });
  }
  try {
    const { mode } = fstatSync(file);
    if ((mode & 0o007) !== 0)
      throw new ConfigError(`${path} holds a secret and is open to everybody (mode ${(mode & 0o777).toString(8)})`, {
        code: "secret-open",
        hint: `chmod o= ${path}`,
        data: { path, mode },
      });
    return readFileSync(file);
  } finally {
    closeSync(file);
  }
}
