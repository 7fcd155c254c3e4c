/**
 * Turns anything thrown into an ImgtoolError that a person can act on. Node's system errors are the
 * person's machine or input; anything else unknown is a bug and says so.
 * @module
 */
import {
  ConfigError,
  EnvironmentError,
  errorMessage,
  ExistsError,
  FormatError,
  ImgtoolError,
  IntegrityError,
  NotFoundError,
  systemErrorCode,
} from "@imgtool/core";

/** What to do about what the system says, whatever was being done. */
const systemHints: Readonly<Record<string, string>> = {
  ENOENT: "check the path",
  ENOTDIR: "check the path: a part of it is a file",
  EISDIR: "this is a directory: name a file",
  EACCES: "run as a user who may, or as root",
  EPERM: "run as a user who may, or as root",
  EROFS: "choose a place that can be written to",
  ENOSPC: "free some space, or use another folder for outputs (-O) and temporary files (TMPDIR)",
  EDQUOT: "free some space, or use another folder for outputs (-O) and temporary files (TMPDIR)",
};

/** The error to show; ImgtoolErrors pass, with a hint where their library gave none and one is known. */
export function explain(error: unknown): ImgtoolError {
  if (error instanceof ImgtoolError) return withHint(error);
  const code = systemErrorCode(error);
  const path = pathOf(error, code);
  const where = path === undefined ? "" : `: ${path}`;
  const hint = code === undefined ? undefined : systemHints[code];
  const options = { data: { path, errno: code }, cause: error, ...(hint === undefined ? {} : { hint }) };
  switch (code) {
    case "ENOENT":
      return new NotFoundError(`no such file or directory${where}`, { code: "file-missing", ...options });
    case "ENOTDIR":
      return new NotFoundError(`not a directory${where}`, { code: "file-missing", ...options });
    case "EISDIR":
      return new ConfigError(`is a directory${where}`, { code: "is-directory", ...options });
    case "EEXIST":
      return new ExistsError(`already exists${where}`, options);
    case "EACCES":
    case "EPERM":
      return new EnvironmentError(`permission denied${where}`, { code: "permission", ...options });
    case "EROFS":
      return new EnvironmentError(`the file system is read-only${where}`, { code: "permission", ...options });
    case "ENOSPC":
    case "EDQUOT":
      return new EnvironmentError(`no space left on the device${where}`, { code: "no-space", ...options });
    default:
      return new ImgtoolError(errorMessage(error), {
        code: "internal",
        hint: "this is a bug in imgtool: please report it with the output of the same command and --debug",
        cause: error,
      });
  }
}

/** The error with a hint from the system error behind it; the same object where there is none. */
function withHint(error: ImgtoolError): ImgtoolError {
  if (error.hint !== undefined) return error;
  let code: string | undefined;
  for (let cause = error.cause; code === undefined && cause instanceof Error; cause = cause.cause)
    code = systemErrorCode(cause);
  const hint = (code === undefined ? undefined : systemHints[code]) ?? kindHint(error);
  // Everything else, its class and stack too, is the error's own.
  return hint === undefined ? error : (Object.create(error, { hint: { value: hint } }) as ImgtoolError);
}

/** The path that the error is about. What is full, or in the way, while a file is copied is where it goes. */
function pathOf(error: unknown, code: string | undefined): string | undefined {
  const { path, dest } = Object(error) as { readonly path?: unknown; readonly dest?: unknown };
  const place = dest !== undefined && ["ENOSPC", "EDQUOT", "EROFS", "EEXIST"].includes(code ?? "") ? dest : path;
  return typeof place === "string" ? place : undefined;
}

function kindHint(error: ImgtoolError): string | undefined {
  if (error instanceof NotFoundError) return "check the name and the path";
  if (error instanceof FormatError || error instanceof IntegrityError)
    return "it is damaged or incomplete: copy or publish it again";
  return undefined;
}
