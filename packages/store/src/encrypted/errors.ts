/**
 * What can be wrong with encrypted bytes, each with an error of its own.
 * @module
 */
import { FormatError, IntegrityError } from "@imgtool/core";
import type { SealedPlace } from "./cipher.ts";

const restore = "remove it there and publish again, or add a store that holds it whole";

/** Codes begin with what it is: "chunk" or "index". */
function codeOf({ data }: SealedPlace, rest: string): string {
  return `${"chunk" in data ? "chunk" : "index"}-${rest}`;
}

export function notEncrypted(place: SealedPlace, bytes: Uint8Array): IntegrityError {
  const found = Buffer.from(bytes.subarray(0, 8)).toString("hex");
  return new IntegrityError(`${place.what} is not encrypted: it begins with ${found || "nothing"}`, {
    code: codeOf(place, "not-encrypted"),
    hint: "--key is for what was made with --key alone: a server may have put something else in its place",
    data: { ...place.data, found },
  });
}

export function unknownVersion(place: SealedPlace, expected: number, found: number): FormatError {
  return new FormatError(`${place.what} is encrypted in version ${found} of the format, expected ${expected}`, {
    code: "encryption-version-unknown",
    hint: "a newer imgtool may know it",
    data: { ...place.data, expected, found },
  });
}

export function otherKey(place: SealedPlace, expected: string, found: string): IntegrityError {
  return new IntegrityError(`${place.what} is encrypted with the key ${found}, not with ${expected}`, {
    code: "store-key-wrong",
    hint: "name the key that it was made with: --key; the line id: of a key's file has its id",
    data: { ...place.data, expected, found },
  });
}

export function otherName(place: SealedPlace, expected: string, found: string): IntegrityError {
  return new IntegrityError(`${place.what} is another chunk: it was stored under the name ${found}`, {
    code: codeOf(place, "swapped"),
    hint: restore,
    data: { ...place.data, expected, found },
  });
}

export function wrongLength(place: SealedPlace, expected: number, found: number): IntegrityError {
  const [word, rest] = found < expected ? ["cut off", "truncated"] : ["too long", "too-long"];
  return new IntegrityError(`${place.what} is ${word}: expected ${expected} bytes, found ${found}`, {
    code: codeOf(place, rest),
    hint: restore,
    data: { ...place.data, expected, found },
  });
}

export function notAuthentic(place: SealedPlace, cause: unknown): IntegrityError {
  return new IntegrityError(`${place.what} was altered: its authentication tag is not that of its bytes`, {
    code: codeOf(place, "not-authentic"),
    hint: restore,
    data: place.data,
    cause,
  });
}

/** Only who has the key can make such bytes. */
export function badContent(place: SealedPlace, kind: number, size: number): FormatError {
  return new FormatError(`${place.what} holds no valid content: kind ${kind}, ${size} bytes`, {
    code: codeOf(place, "content-invalid"),
    hint: restore,
    data: { ...place.data, kind, size },
  });
}
