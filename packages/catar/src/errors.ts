/**
 * What is thrown for an archive that is not one.
 * @module
 */
import { FormatError } from "@imgtool/core";

/** Where in the archive the reader stood, and what it met there. */
export interface CatarErrorFacts {
  /** Bytes from the archive's beginning to the record at fault. */
  readonly offset: number;
  readonly expected: string;
  readonly found: string;
}

/** Bytes that are no valid archive; `data` has offset, expected and found. */
export class CatarError extends FormatError {
  constructor(code: string, message: string, facts: CatarErrorFacts) {
    super(`archive, offset ${facts.offset}: ${message}: expected ${facts.expected}, found ${facts.found}`, {
      code,
      data: { ...facts },
    });
  }
}

/** The input ended inside the archive. */
export function truncatedError(offset: number, expected: string): CatarError {
  return new CatarError("catar-truncated", "the archive is cut off", { offset, expected, found: "end of input" });
}

/** Quotes bytes for a message: printable ASCII as it is, anything else as \xNN. */
export function quoteBytes(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) {
    text +=
      byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c
        ? String.fromCharCode(byte)
        : `\\x${byte.toString(16).padStart(2, "0")}`;
  }
  return `"${text}"`;
}
