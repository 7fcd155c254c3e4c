/**
 * Moves finished outputs to the output directory: each by one rename, the build record last. Until
 * then nothing there has changed; what is replaced is replaced only by something whole.
 * @module
 */
import { lstat, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { ImageConfig } from "@imgtool/config";
import { FormatError, NotFoundError, systemErrorCode } from "@imgtool/core";
import { AT_FDCWD, flush, renameat2 } from "@imgtool/host";
import { buildRecordPath, outputNames } from "./outputs.ts";
import { readBuildRecord } from "./record.ts";

/**
 * Moves `names` from `staging`, which is on the same file system. Outputs that only the former record
 * lists go: they are a former build's, and would be taken for this one's.
 */
export async function publishOutputs(config: ImageConfig, staging: string, names: readonly string[]): Promise<void> {
  const { outputDirectory } = config;
  const { record } = outputNames(config);
  for (const name of names) if (!(await isFolder(join(staging, name)))) await flush(join(staging, name));
  const former = await recordedOutputs(config);
  // A record that stayed would describe files that are no longer there.
  await rm(join(outputDirectory, record), { force: true });
  const outputs = names.filter((name) => name !== record);
  for (const name of outputs) await replace(join(staging, name), join(outputDirectory, name));
  for (const name of former)
    if (!outputs.includes(name)) await rm(join(outputDirectory, name), { recursive: true, force: true });
  await rename(join(staging, record), join(outputDirectory, record));
  await flush(outputDirectory);
}

/** Paths of outputs that the build record in the output directory lists; none without a record. */
export async function recordedOutputs(config: ImageConfig): Promise<string[]> {
  try {
    return (await readBuildRecord(buildRecordPath(config))).artifacts.map(({ path }) => path);
  } catch (error) {
    if (error instanceof NotFoundError || error instanceof FormatError) return [];
    throw error;
  }
}

async function replace(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    // rename cannot put one folder in place of another that is not empty, or of a file: they change
    // places, and the old one goes with the staging folder.
    if (!["ENOTEMPTY", "EEXIST", "EISDIR", "ENOTDIR"].includes(systemErrorCode(error) ?? "")) throw error;
    renameat2(AT_FDCWD, from, AT_FDCWD, to, "exchange");
  }
}

async function isFolder(path: string): Promise<boolean> {
  return (await lstat(path)).isDirectory();
}
