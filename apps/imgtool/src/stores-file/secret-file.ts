/**
 * Files that hold tokens, passwords and keys: refused when everybody can read them, as passphrases are.
 * @module
 */
import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { ConfigError, errorMessage, NotFoundError } from "@imgtool/core";

/** Larger than any token, certificate or list of authorities. */
const maxBytes = 8 * 1024 ** 2;

/** @throws ConfigError `secret-open` unless only its owner and its group can read a file of this mode */
export function checkSecretMode(path: string, mode: number): void {
  if ((mode & 0o007) === 0) return;
  throw new ConfigError(`${path} holds a secret and is open to everybody (mode ${(mode & 0o777).toString(8)})`, {
    code: "secret-open",
    hint: `chmod o= ${path}`,
    data: { path, mode },
  });
}

/**
 * The text of a file that a setting names.
 * @param place where the setting stands, for errors
 * @throws NotFoundError `file-missing`; ConfigError `secret-open`, `config-invalid` for what is no such file
 */
export function readNamedFile(path: string, place: string, isSecret: boolean): string {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    throw new NotFoundError(`${place}: cannot read ${path}: ${errorMessage(error)}`, {
      code: "file-missing",
      hint: "correct the path, or the file's mode",
      data: { path, place },
      cause: error,
    });
  }
  try {
    const stats = fstatSync(file);
    if (isSecret) checkSecretMode(path, stats.mode);
    if (!stats.isFile() || stats.size > maxBytes) {
      throw new ConfigError(`${place}: ${path} is not what it should be: expected a small file`, {
        hint: "correct the path",
        data: { path, place, maxBytes },
      });
    }
    return readFileSync(file, "utf8");
  } finally {
    closeSync(file);
  }
}
