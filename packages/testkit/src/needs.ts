/**
 * Finds out what the machine can do, and skips a test with the reason in its output where it cannot.
 * @module
 */
import { accessSync, constants } from "node:fs";
import { join } from "node:path";

/** The part of vitest's test context that skipping needs. */
export interface SkippableContext {
  skip(reason?: string): void;
}

/** The path of a program on PATH (or in the sbin folders that a user's PATH lacks), or undefined. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(":"), "/usr/local/sbin", "/usr/sbin", "/sbin"];
  for (const folder of folders) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not here: try the next folder
    }
  }
  return undefined;
}

/** Skips the test, naming what is missing, unless every program is on PATH. */
export function needPrograms(context: SkippableContext, ...names: readonly string[]): void {
  const missing = names.filter((name) => findProgram(name) === undefined);
  if (missing.length > 0) context.skip(`needs ${missing.join(", ")} on PATH`);
}

/** Skips the test unless it runs as root. */
export function needRoot(context: SkippableContext): void {
  if (process.getuid?.() !== 0) context.skip("needs root");
}
