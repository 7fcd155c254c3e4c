/**
 * Whether something has a path.
 * @module
 */
import { lstat } from "node:fs/promises";
import { systemErrorCode } from "@imgtool/core";

/** Whether anything is at the path; a symbolic link counts, wherever it leads. */
export async function pathExists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return false;
    throw error;
  }
}
