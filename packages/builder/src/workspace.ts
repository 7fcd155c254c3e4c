/**
 * The folders that a build works in. They lie in the output directory unless the project says
 * otherwise: outputs move to their names by rename, which cannot cross file systems. Their names carry
 * the process id, so that `clean` can tell what a killed build left behind.
 * @module
 */
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { ImageConfig } from "@imgtool/config";
import { systemErrorCode } from "@imgtool/core";
import { isRunningProcess } from "@imgtool/host";
import { makeTreeRoot } from "./subvolumes.ts";

export interface Workspace extends AsyncDisposable {
  readonly tree: string;
  readonly scratch: string;
  readonly staging: string;
}

/** Makes the folders; disposing of the result removes them with all they hold. */
export async function makeWorkspace(config: ImageConfig): Promise<Workspace> {
  const prefix = `${workspacePrefix(config)}${process.pid}-`;
  await mkdir(config.outputDirectory, { recursive: true });
  const made: string[] = [];
  const make = async (folder: string): Promise<string> => {
    await mkdir(folder, { recursive: true });
    // Mode 0700, and a name nobody can foresee: safe in a folder that others may write to.
    const path = await mkdtemp(join(folder, prefix));
    made.push(path);
    return path;
  };
  const remove = async (): Promise<void> => {
    for (const path of made) await rm(path, { recursive: true, force: true, maxRetries: 3 });
  };
  try {
    const outer = await make(config.outputDirectory);
    const inner = config.workspaceDirectory === undefined ? outer : await make(config.workspaceDirectory);
    const workspace = { tree: join(inner, "tree"), scratch: join(inner, "scratch"), staging: join(outer, "out") };
    await makeTreeRoot(workspace.tree, config.useSubvolumes);
    for (const path of [workspace.scratch, workspace.staging]) await mkdir(path);
    return { ...workspace, [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Workspaces that builds of this project left when they were killed. */
export async function abandonedWorkspaces(config: ImageConfig): Promise<string[]> {
  const prefix = workspacePrefix(config);
  const found: string[] = [];
  for (const folder of new Set([config.outputDirectory, config.workspaceDirectory ?? config.outputDirectory])) {
    for (const name of await names(folder)) {
      if (!name.startsWith(prefix)) continue;
      const pid = /^(\d+)-\w{6}$/.exec(name.slice(prefix.length))?.[1];
      if (pid !== undefined && !isRunningProcess(Number(pid))) found.push(join(folder, name));
    }
  }
  return found;
}

function workspacePrefix(config: ImageConfig): string {
  return `.${config.output}.build-`;
}

async function names(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return [];
    throw error;
  }
}
