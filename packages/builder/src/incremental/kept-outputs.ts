/**
 * Keeps what a program makes of files in the tree (Incremental=), by the content of all that it reads: what is
 * put back is what the program would make now.
 * @module
 */
import { constants, copyFile, lstat, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { systemErrorCode } from "@imgtool/core";
import { digestFile, pathExists } from "@imgtool/host";
import type { BuildContext } from "../context.ts";
import { digestText } from "./digests.ts";
import { cacheFolder } from "./tree-cache.ts";

/** What keeps it in another form counts up. */
const form = 1;

export interface KeptProgram {
  /** Names what is kept; the last of each name is. */
  readonly name: string;
  /** Folder of the outputs, on this machine. */
  readonly folder: string;
  /** Names in it of all that the program may write or remove; they are files. */
  readonly outputs: readonly string[];
  /** A digest of all that the program reads besides its own outputs; undefined where that cannot be told. */
  inputs(): Promise<string | undefined>;
  /** Runs the program; returns false where it cannot run. */
  run(): Promise<boolean>;
}

interface Changes {
  readonly written: readonly string[];
  readonly removed: readonly string[];
}

/** Runs the program, or puts back what it made of the same inputs; returns whether its outputs are there. */
export async function runOrRestore(context: BuildContext, program: KeptProgram): Promise<boolean> {
  const { config, progress } = context;
  const { name, folder, outputs } = program;
  const inputs = config.incremental === "no" ? undefined : await program.inputs();
  if (inputs === undefined) return await program.run();
  // It may leave some of them as they are.
  const before = await Promise.all(outputs.map(async (output) => await digestOf(join(folder, output))));
  const key = digestText(JSON.stringify([form, inputs, outputs, before]));
  const kept = join(cacheFolder(config), `${name}-${key}`);
  if (await pathExists(kept)) {
    progress.log("debug", `${name}: nothing that it is made of has changed`);
    await restore(kept, folder);
    return true;
  }
  const known = await Promise.all(outputs.map(async (output) => await identityOf(join(folder, output))));
  if (!(await program.run())) return false;
  const written: string[] = [];
  const removed: string[] = [];
  for (const [index, output] of outputs.entries()) {
    const now = await identityOf(join(folder, output));
    if (now === known[index]) continue;
    (now === undefined ? removed : written).push(output);
  }
  await keep({ written, removed }, folder, kept);
  return true;
}

async function restore(kept: string, folder: string): Promise<void> {
  const { written, removed } = JSON.parse(await readFile(join(kept, "changes.json"), "utf8")) as Changes;
  for (const name of [...written, ...removed]) await rm(join(folder, name), { force: true });
  for (const name of written) await copy(join(kept, "files", name), join(folder, name));
}

async function keep(changes: Changes, folder: string, kept: string): Promise<void> {
  const parent = dirname(kept);
  await mkdir(parent, { recursive: true });
  const fresh = await mkdtemp(join(parent, ".new-"));
  try {
    await mkdir(join(fresh, "files"));
    for (const name of changes.written) await copy(join(folder, name), join(fresh, "files", name));
    await writeFile(join(fresh, "changes.json"), JSON.stringify(changes));
    const others = new RegExp(
      `^${RegExp.escape(kept.slice(parent.length + 1, -digestLength))}[0-9a-f]{${digestLength}}$`,
    );
    for (const name of await readdir(parent)) if (others.test(name)) await rm(join(parent, name), { recursive: true });
    await rename(fresh, kept);
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

const digestLength = 64;

async function copy(from: string, to: string): Promise<void> {
  await copyFile(from, to, constants.COPYFILE_FICLONE);
}

async function digestOf(path: string): Promise<string | undefined> {
  return (await pathExists(path)) ? await digestFile(path) : undefined;
}

/** What changes with every write to a file, and when another takes its place. */
async function identityOf(path: string): Promise<string | undefined> {
  try {
    const { ino, ctimeNs } = await lstat(path, { bigint: true });
    return `${ino} ${ctimeNs}`;
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}
