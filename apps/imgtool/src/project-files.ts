/**
 * The project directory as `@imgtool/config` reads it: through node:fs.
 * @module
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";
import type { ConfigFiles, FileStatus } from "@imgtool/config";
import { ProcessError, systemErrorCode } from "@imgtool/core";

/** Absent means undefined; any other failure (a permission, an I/O error) is the user's to know. */
function orAbsent<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "EISDIR"].includes(systemErrorCode(error) ?? "")) return undefined;
    throw error;
  }
}

function status(path: string): FileStatus | undefined {
  return orAbsent(() => {
    const found = statSync(path);
    return {
      kind: found.isFile() ? "file" : found.isDirectory() ? "directory" : "other",
      executable: found.isFile() && mayExecute(path),
      mode: found.mode & 0o7777,
      modified: Math.floor(found.mtimeMs / 1000),
      identity: `${found.dev}:${found.ino}`,
    };
  });
}

function mayExecute(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export const projectFiles: ConfigFiles = {
  readText: (path) => orAbsent(() => readFileSync(path, "utf8")),
  list: (path) => orAbsent(() => readdirSync(path)),
  status,
  runText(path) {
    const result = spawnSync(path, [], { cwd: dirname(path), encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
    if (result.error !== undefined || result.status !== 0) {
      throw new ProcessError(
        `${path} ${result.error === undefined ? `exited with ${result.status}` : result.error.message}`,
        {
          hint: "it must print its value and exit with 0",
          data: { path },
        },
      );
    }
    return result.stdout;
  },
};
