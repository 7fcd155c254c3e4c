/**
 * hwdb(7): what udev knows of devices, compiled by the image's own systemd-hwdb. What it made is kept.
 * @module
 */
import { readdir } from "node:fs/promises";
import { digestFile, pathExists } from "@imgtool/host";
import { resolveInTree } from "@imgtool/sandbox";
import type { BuildContext } from "../context.ts";
import { digestClosed } from "../incremental/closed-digest.ts";
import { digestText } from "../incremental/digests.ts";
import { runOrRestore } from "../incremental/kept-outputs.ts";
import { makeTreeFolder, removeTreePath } from "../tree-file.ts";
import { hasFile, isSystem, runProgram, type Program } from "./system-setup.ts";

const program: Program = {
  label: "make the hardware database",
  name: "systemd-hwdb",
  args: ["--usr", "--strict", "update"],
};

/** Where systemd looks for its sources. */
const sources: readonly string[] = ["etc", "run", "usr/local/lib", "usr/lib"].map((path) => `${path}/udev/hwdb.d`);

/** Compiles the hardware database, which files of the project may have added to. */
export async function makeHardwareDatabase(context: BuildContext): Promise<void> {
  const { tree, config } = context;
  if (!isSystem(config) || !(await hasFile(tree, "usr/lib/udev/hwdb.d"))) return;
  if (!(await hasFile(tree, `usr/bin/${program.name}`))) return;
  const isMade = await runOrRestore(context, {
    name: "hwdb",
    folder: await makeTreeFolder(tree, "usr/lib/udev"),
    outputs: ["hwdb.bin"],
    inputs: async () => await inputs(context),
    run: async () => await runProgram(context, program),
  });
  if (isMade) await removeTreePath(tree, "etc/udev/hwdb.bin");
}

/** The sources, and the program, whose version is in what it makes. */
async function inputs({ tree, signal }: BuildContext): Promise<string | undefined> {
  const libraries = await sharedLibraries(tree);
  // A program that is not systemd's own may read anything.
  if (libraries.length === 0) return undefined;
  const digests: (string | undefined)[] = [];
  for (const path of [await resolveInTree(tree, `usr/bin/${program.name}`, { followLast: true }), ...libraries])
    digests.push(await digestFile(path));
  for (const path of sources)
    digests.push(await digestClosed(await resolveInTree(tree, path, { followLast: true }), signal));
  return digests.includes(undefined) ? undefined : digestText(JSON.stringify(digests));
}

/** Where systemd's programs have their code: on Debian in a folder of the architecture's. */
async function sharedLibraries(tree: string): Promise<string[]> {
  const folders = ["usr/lib", "usr/lib64"];
  for (const name of await names(tree, "usr/lib")) if (name.includes("-linux-")) folders.push(`usr/lib/${name}`);
  const found: string[] = [];
  for (const folder of folders.map((path) => `${path}/systemd`))
    for (const name of await names(tree, folder))
      if (/^libsystemd-shared-.*\.so$/.test(name))
        found.push(await resolveInTree(tree, `${folder}/${name}`, { followLast: true }));
  return found;
}

async function names(tree: string, path: string): Promise<string[]> {
  const folder = await resolveInTree(tree, path, { followLast: true });
  return (await pathExists(folder)) ? (await readdir(folder)).sort() : [];
}
