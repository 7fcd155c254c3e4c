/**
 * Temporary folders that go away with the scope that made them.
 * @module
 */
import { accessSync, constants, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface TemporaryFolder extends Disposable {
  readonly path: string;
  /** A path inside the folder. */
  join(...parts: readonly string[]): string;
}

/**
 * Makes a folder below TMPDIR; `using folder = temporaryFolder()` removes it with its content.
 * @param place "memory": on tmpfs where there is one, for very many small files
 */
export function temporaryFolder(place: "disk" | "memory" = "disk"): TemporaryFolder {
  const path = mkdtempSync(join(place === "memory" ? memoryFolder() : tmpdir(), "imgtool-test-"));
  return {
    path,
    join: (...parts) => join(path, ...parts),
    [Symbol.dispose]() {
      rmSync(path, { recursive: true, force: true });
    },
  };
}

function memoryFolder(): string {
  try {
    accessSync("/dev/shm", constants.W_OK);
    return "/dev/shm";
  } catch {
    return tmpdir();
  }
}
