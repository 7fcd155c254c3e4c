/**
 * Copies a whole tree as it is, with reflinks where the file system has them.
 * @module
 */
import { runTool } from "@imgtool/host";

/** Copies `from` to the folder `to`, which is there and empty: owners, modes, times, links and attributes. */
export async function copyWholeTree(from: string, to: string, signal: AbortSignal | undefined): Promise<void> {
  // Without a target folder cp takes the folder's own mode and attributes along.
  await runTool("cp", ["--archive", "--reflink=auto", "--no-target-directory", "--", from, to], { signal });
}
