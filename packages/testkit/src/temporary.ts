/**
 * Temporary folders that go away with the scope that made them.
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface TemporaryFolder extends Disposable {
  readonly path: string;
  /** A path inside the folder. */
  join(...parts: readonly string[]): string;
}

/** Makes a folder below TMPDIR; `using folder = temporaryFolder()` removes it with its content. */
export function temporaryFolder(): TemporaryFolder {
  const path = mkdtempSync(join(tmpdir(), "imgtool-test-"));
  return {
    path,
    join: (...parts) => join(path, ...parts),
    [Symbol.dispose]() {
      rmSync(path, { recursive: true, force: true });
    },
  };
}
