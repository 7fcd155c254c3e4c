/**
 * What is wrong with an archive, with the place.
 * @module
 */
import { FormatError } from "@imgtool/core";

/** An error of the archive's bytes at an offset. */
export function tarError(code: string, offset: number, what: string, expected: string, found: string): FormatError {
  return new FormatError(`tar archive, offset ${offset}: ${what}: expected ${expected}, found ${found}`, {
    code,
    hint:
      code === "tar-truncated"
        ? "the archive is incomplete: copy or make it again"
        : "this is no tar archive, or a damaged one",
    data: { offset, expected, found },
  });
}
