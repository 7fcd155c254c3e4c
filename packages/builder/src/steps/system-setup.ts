/**
 * What systemd's own programs make of an image's declarations: users of sysusers.d(5), files of
 * tmpfiles.d(5), units enabled by systemd.preset(5). They are the image's own programs, run in it: those of this
 * machine may be older than the declarations.
 * @module
 */
import { lstat } from "node:fs/promises";
import { join } from "node:path";
import type { ImageConfig } from "@imgtool/config";
import { errorMessage, ProcessError } from "@imgtool/core";
import { pathExists } from "@imgtool/host";
import { resolveInTree, runInTree } from "@imgtool/sandbox";
import type { BuildContext } from "../context.ts";
import { isExtension } from "../formats.ts";
import { writeTreeFile } from "../tree-file.ts";

export interface Program {
  readonly label: string;
  readonly name: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Exit codes that systemd's own units take for success. */
  readonly success?: readonly number[];
}

/** File systems of the running kernel, and folders that are emptied afterwards. */
const passing = ["/tmp", "/var/tmp", "/run", "/proc", "/sys", "/dev"];

const declarations: readonly Program[] = [
  { label: "make system users", name: "systemd-sysusers", args: [] },
  {
    label: "make declared files",
    name: "systemd-tmpfiles",
    args: ["--boot", "--create", "--remove", ...passing.map((path) => `--exclude-prefix=${path}`)],
    env: { SYSTEMD_TMPFILES_FORCE_SUBVOL: "0" },
    // A line that names what is not there, and one whose place is taken.
    success: [0, 65, 73],
  },
  { label: "apply presets", name: "systemctl", args: ["preset-all"] },
  { label: "apply presets", name: "systemctl", args: ["--global", "preset-all"] },
];

/** Whether the tree is a system of its own, which extensions and additions to others are not. */
export function isSystem({ overlay, format }: ImageConfig): boolean {
  return !overlay && !isExtension(format) && format !== "addon";
}

/** Makes what the image's packages and files declare, in mkosi's order: before its settings are applied. */
export async function applyDeclarations(context: BuildContext): Promise<void> {
  if (!isSystem(context.config)) return;
  for (const program of declarations) await runProgram(context, program);
  if (await isNewerThanSystemd(context)) await writeTreeFile(context.tree, "usr/lib/clock-epoch", "");
}

/**
 * Whether the image's time says more about the earliest that it can be than systemd's own build does, which
 * systemd takes without a clock-epoch. An older one, such as an initrd's 1980, would have it set a right clock
 * back, for being more than 15 years ahead.
 */
async function isNewerThanSystemd({ tree, config }: BuildContext): Promise<boolean> {
  const systemd = await lstat(join(tree, "usr/lib/systemd/systemd")).catch(() => undefined);
  return systemd !== undefined && config.sourceDateEpoch * 1000 > systemd.mtimeMs;
}

/** Runs a program where the image has it; returns whether it ran. */
export async function runProgram({ tree, config, progress, signal }: BuildContext, program: Program): Promise<boolean> {
  const { label, name, args, env, success } = program;
  if (!(await hasFile(tree, `usr/bin/${name}`))) return false;
  using task = progress.start({ label });
  try {
    const say = (line: string): void => progress.log("debug", `${name}: ${line}`);
    await runInTree(tree, `/usr/bin/${name}`, args, {
      env: { SYSTEMD_OFFLINE: "1", SOURCE_DATE_EPOCH: String(config.sourceDateEpoch), ...env },
      ...(success === undefined ? {} : { success }),
      signal,
      onStdoutLine: say,
      onStderrLine: say,
    });
  } catch (error) {
    if (!(error instanceof ProcessError) || !/Exec format error/.test(errorMessage(error))) throw error;
    progress.log("warning", `this machine cannot run the image's ${name}`, "apt-get install qemu-user-static");
    return false;
  }
  task.done();
  return true;
}

/** Whether the tree has a file or folder, through its own links. */
export async function hasFile(tree: string, path: string): Promise<boolean> {
  return await pathExists(await resolveInTree(tree, path, { followLast: true }));
}
