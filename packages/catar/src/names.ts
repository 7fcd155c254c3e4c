/**
 * Names in archives are bytes, not text. These are the rules that keep a name inside its directory.
 * @module
 */
import { CatarError, quoteBytes } from "./errors.ts";
import { maxNameLength } from "./records.ts";

const slash = 0x2f;
const dot = 0x2e;

/**
 * Refuses a file name that is empty, too long, `.`, `..`, or contains `/` or NUL.
 * @throws CatarError `catar-name-invalid`
 */
export function checkFileName(name: Uint8Array, offset: number): void {
  const wrong = nameFault(name);
  if (wrong !== undefined) {
    throw new CatarError("catar-name-invalid", `file name ${wrong}`, {
      offset,
      expected: `1 to ${maxNameLength} bytes without "/" and NUL, not "." or ".."`,
      found: quoteBytes(name),
    });
  }
}

function nameFault(name: Uint8Array): string | undefined {
  if (name.length === 0) return "is empty";
  if (name.length > maxNameLength) return "is too long";
  if (name.includes(slash)) return "contains a slash";
  if (name.includes(0)) return "contains NUL";
  if (name[0] === dot && (name.length === 1 || (name.length === 2 && name[1] === dot))) return "leaves its directory";
  return undefined;
}
