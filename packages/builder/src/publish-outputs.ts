/**
 * Moves finished outputs to the output directory: each by one rename, the build record last. Until
 * then nothing there has changed; what is replaced is replaced only by something whole.
 * @module
 */
import { chmod, lstat, readlink, rename, rm, symlink } from "node:fs/promises";
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
  const { outputDirectory, outputMode } = config;
  const { record } = outputNames(config);
  for (const name of names) {
    const path = join(staging, name);
    if (await isFolder(path)) continue;
    if (outputMode !== undefined) await chmod(path, outputMode);
    await flush(path);
  }
  const former = await recordedOutputs(config);
  // A record that stayed would describe files that are no longer there.
  await rm(join(outputDirectory, record), { force: true });
  const outputs = names.filter((name) => name !== record);
  for (const name of outputs) await replace(join(staging, name), join(outputDirectory, name));
  await publishLink(config, staging, outputs);
  for (const name of former)
    if (!outputs.includes(name)) await rm(join(outputDirectory, name), { recursive: true, force: true });
  await rename(join(staging, record), join(outputDirectory, record));
  await flush(outputDirectory);
}

/**
 * Makes a link to the image under the output's name without extension, by which others of the project's
 * images find it (BaseTrees=%O/base), as mkosi does.
 */
export async function linkImage(config: ImageConfig, staging: string): Promise<void> {
  const { image } = outputNames(config);
  if (image !== undefined && image !== config.output) await symlink(image, join(staging, config.output));
}

/** Moves the link; a former one without a successor goes. Nothing else of the name is touched. */
async function publishLink(config: ImageConfig, staging: string, outputs: readonly string[]): Promise<void> {
  const { output, outputDirectory } = config;
  const place = join(outputDirectory, output);
  if (outputs.includes(output)) return;
  if ((await exists(place)) && !(await isImageLink(config))) return;
  if (await exists(join(staging, output))) await rename(join(staging, output), place);
  else await rm(place, { force: true });
}

/** Whether the output's name without extension is a link that a build has made. */
export async function isImageLink({ output, outputDirectory }: ImageConfig): Promise<boolean> {
  const target = await readlink(join(outputDirectory, output)).catch(() => "");
  return target.startsWith(`${output}.`) && !target.includes("/");
}

async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
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
