/**
 * What git ignores in a folder of sources, for UseGitFiles=.
 * @module
 */
import { dirname, join } from "node:path";
import { ConfigError } from "@imgtool/core";
import { pathExists, runTool } from "@imgtool/host";

/**
 * The top-most paths in a folder that git ignores, relative to it, of its submodules too. None where the folder is
 * in no git checkout, or is itself ignored by the one that it is in: somebody who names such a folder wants it.
 * @throws EnvironmentError `tool-missing` when there is a checkout and no git; ConfigError `source-name-invalid`
 */
export async function ignoredPaths(folder: string, signal: AbortSignal | undefined): Promise<string[]> {
  if (!(await isBelowCheckout(folder))) return [];
  const inside = await git(folder, ["rev-parse", "--is-inside-work-tree"], signal, [0, 128]);
  if (inside[0]?.trim() !== "true") return [];
  // Asked first: git cannot list a folder that is some levels below one that it ignores.
  if (await isIgnored(folder, signal)) return [];
  const found = await git(folder, ["ls-files", "--others", "--ignored", "--exclude-standard", "--directory"], signal);
  // It has nothing but what is ignored file by file.
  if (found.includes("./")) return [];
  // A folder of ignored files alone comes with each of them.
  const ignored = new Set(found.map((path) => path.replace(/\/$/, "")));
  const within = isWithin(ignored);
  const topMost = [...ignored].filter((path) => !within(dirname(path)));
  for (const line of await git(folder, ["ls-files", "--stage"], signal)) {
    // Mode, object and stage, then the path.
    const module = /^160000 [^\t]*\t(.*)$/s.exec(line)?.[1];
    // Without one, the folder is the checkout's own: nobody has fetched the submodule.
    if (module === undefined || !(await pathExists(join(folder, module, ".git")))) continue;
    for (const path of await ignoredPaths(join(folder, module), signal)) topMost.push(`${module}/${path}`);
  }
  return topMost.sort();
}

/** A function that says whether a relative path is one of `paths` or below one. */
export function isWithin(paths: ReadonlySet<string>): (path: string) => boolean {
  return (path) => {
    for (let place = path; place !== "." && place !== "/"; place = dirname(place)) if (paths.has(place)) return true;
    return false;
  };
}

async function isBelowCheckout(folder: string): Promise<boolean> {
  for (let place = folder; ; place = dirname(place)) {
    if (await pathExists(join(place, ".git"))) return true;
    if (place === dirname(place)) return false;
  }
}

/** Whether git ignores the folder itself. It prints the name then. */
async function isIgnored(folder: string, signal: AbortSignal | undefined): Promise<boolean> {
  return (await git(folder, ["check-ignore", "."], signal, [0, 1])).length > 0;
}

/** Runs git, which ends what it lists with NUL. */
async function git(
  folder: string,
  [command = "", ...words]: readonly string[],
  signal: AbortSignal | undefined,
  success: readonly number[] = [0],
): Promise<string[]> {
  // The checkout may be another user's: git is asked to trust it, but to run nothing that its configuration names.
  const trust = ["-c", "safe.directory=*", "-c", "core.fsmonitor=false"];
  const args = ["-C", folder, ...trust, command, ...(command === "ls-files" ? ["-z"] : []), ...words];
  const { stdout } = await runTool("git", args, { env: { GIT_OPTIONAL_LOCKS: "0" }, success, signal });
  if (stdout.includes("\uFFFD"))
    throw new ConfigError(`git ignores a file in ${folder} whose name is not UTF-8`, {
      code: "source-name-invalid",
      hint: "rename it, or set UseGitFiles=no to show scripts all files",
      data: { folder },
    });
  return stdout.split("\0").filter((line) => line !== "");
}
