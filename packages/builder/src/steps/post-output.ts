/**
 * Runs the scripts that work on finished outputs, and notes what they added or changed.
 * @module
 */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { describeFile, describeFolder } from "../artifacts.ts";
import type { BuildContext } from "../context.ts";
import { runScripts } from "./scripts.ts";

/** Files that the scripts add are outputs like all others: they move to the output folder, and are in the record. */
export async function runPostOutputScripts(context: BuildContext): Promise<void> {
  const { config, staging, artifacts } = context;
  if (config.postOutputScripts.length === 0) return;
  const before = await states(staging);
  await runScripts("postoutput", context);
  const after = await states(staging);
  for (const [name, state] of after) {
    if (before.get(name) === state) continue;
    const describe = { ...context, folder: staging };
    const index = artifacts.findIndex(({ path }) => path === name);
    const known = artifacts[index];
    const kind = known?.kind ?? "other";
    const described =
      state === "folder"
        ? { ...(await describeFolder(name, describe)), kind }
        : await describeFile(kind, name, describe);
    if (known === undefined) artifacts.push(described);
    else artifacts[index] = { ...known, ...described };
  }
  const gone = artifacts.filter(({ path }) => !after.has(path));
  for (const artifact of gone) artifacts.splice(artifacts.indexOf(artifact), 1);
}

/** By name, what changes when a file is written to. */
async function states(folder: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const name of (await readdir(folder)).sort()) {
    const status = await stat(join(folder, name), { bigint: true });
    found.set(name, status.isDirectory() ? "folder" : `${status.ino} ${status.size} ${status.ctimeNs}`);
  }
  return found;
}
