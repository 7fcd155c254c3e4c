/**
 * What can go wrong with a directory of chunks, as errors that say what to do about it.
 * @module
 */
import { randomBytes } from "node:crypto";
import { EnvironmentError, errorMessage, ImgtoolError, systemErrorCode } from "@imgtool/core";

/** Names for files under way in a chunk's folder, unlike any chunk's and any other process's. */
export function temporaryNames(): () => string {
  const prefix = `.tmp-${randomBytes(8).toString("hex")}-`;
  let count = 0;
  return () => `${prefix}${(count++).toString(16)}`;
}

/** What the names of temporaryNames() look like. */
export const temporaryPattern: RegExp = /^\.tmp-[0-9a-f]{16}-[0-9a-f]+$/;

/** Whether the error says that a file or its folder does not exist. */
export function notThere(error: unknown): boolean {
  const code = systemErrorCode(error);
  return code === "ENOENT" || code === "ENOTDIR";
}

const spaceCodes: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);
const permissionCodes: ReadonlySet<string> = new Set(["EACCES", "EPERM", "EROFS"]);

const storeSpaceHint =
  "free space or inodes on its file system (df, df -i) and run again: chunks already stored are kept";

/**
 * The EnvironmentError for a failed system call on a store or a file; an ImgtoolError is passed on.
 * @param spaceHint what to do where there is no space left
 */
export function storeError(
  error: unknown,
  action: "read" | "write",
  location: string,
  spaceHint: string = storeSpaceHint,
): ImgtoolError {
  if (error instanceof ImgtoolError) return error;
  const code = systemErrorCode(error) ?? "";
  const options = { data: { store: location, errno: code }, cause: error };
  const message = `cannot ${action} ${location}: ${errorMessage(error)}`;
  if (spaceCodes.has(code)) {
    return new EnvironmentError(`no space left to write ${location}`, {
      ...options,
      code: "no-space",
      hint: spaceHint,
    });
  }
  if (permissionCodes.has(code)) {
    return new EnvironmentError(message, {
      ...options,
      code: action === "write" ? "store-not-writable" : "store-not-readable",
      hint: "check the owner and mode of the directory and how its file system is mounted",
    });
  }
  return new EnvironmentError(message, { ...options, code: "store-failed" });
}
