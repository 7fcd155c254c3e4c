/**
 * What goes wrong while an output is written.
 * @module
 */
import { EnvironmentError, errorMessage, ImgtoolError, systemErrorCode } from "@imgtool/core";

/** What the system says about an output, as an error that names it; other errors as they are. */
export function outputError(error: unknown, path: string): unknown {
  const reason = systemErrorCode(error);
  if (reason === undefined || error instanceof ImgtoolError) return error;
  const noSpace = reason === "ENOSPC" || reason === "EDQUOT" || reason === "EFBIG";
  return new EnvironmentError(`cannot write ${path}: ${errorMessage(error)}`, {
    code: noSpace ? "no-space" : "output-not-writable",
    data: { file: path, reason },
    ...(noSpace ? { hint: "free space on the file system of the output" } : {}),
    cause: error,
  });
}
