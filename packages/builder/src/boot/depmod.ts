/**
 * modules.dep and its like, by depmod(8). It unpacks every module of a kernel, which takes longer than nearly all else
 * of a build with a cached tree: what it made is kept.
 * @module
 */
import { existsSync } from "node:fs";
import { realpath } from "node:fs/promises";
import { join, relative } from "node:path";
import { digestFile, requireTool, runTool } from "@imgtool/host";
import { resolveInTree } from "@imgtool/sandbox";
import type { BuildContext } from "../context.ts";
import { digestClosed } from "../incremental/closed-digest.ts";
import { digestText } from "../incremental/digests.ts";
import { runOrRestore } from "../incremental/kept-outputs.ts";

/** All that any version of depmod writes. */
const outputs: readonly string[] = [
  ..."dep alias symbols builtin builtin.alias".split(" ").map((name) => `modules.${name}.bin`),
  ..."dep alias softdep weakdep symbols devname".split(" ").map((name) => `modules.${name}`),
];

/** Where depmod.d(5) has its settings: depmod takes those of the machine that it runs on, a newer one the tree's. */
const settings: readonly string[] = ["etc", "run", "usr/local/lib", "usr/lib", "lib"].map((path) => `${path}/depmod.d`);

/** What is in the folder besides, often as a link: the kernel itself, and its sources. */
function isUnread(name: string): boolean {
  return outputs.includes(name) || /^(?:build|source|vmlinu[xz][^/]*|config|System\.map)$/.test(name);
}

/**
 * Makes them for one kernel.
 * @param folder of the kernel's modules, on this machine
 * @param round names what is kept: those of all modules and of those that the image keeps stand side by side
 */
export async function runDepmod(
  context: BuildContext,
  version: string,
  folder: string,
  round: "all" | "chosen",
): Promise<void> {
  const { tree, signal } = context;
  const inputs = async (): Promise<string | undefined> => {
    const digests: (string | undefined)[] = [
      await digestFile(await realpath(await requireTool("depmod"))),
      await digestClosed(folder, signal, (path) => isUnread(relative(folder, path))),
    ];
    for (const path of settings) {
      digests.push(await digestClosed(`/${path}`, signal));
      digests.push(await digestClosed(await resolveInTree(tree, path, { followLast: true }), signal));
    }
    return digests.includes(undefined) ? undefined : digestText(JSON.stringify([version, ...digests]));
  };
  const run = async (): Promise<boolean> => {
    await runTool("depmod", ["--all", "--basedir", baseFolder(tree, version), version], { signal });
    return true;
  };
  await runOrRestore(context, { name: `depmod-${round}-${version}`, folder, outputs, inputs, run });
}

/** kmod looks in /lib/modules, which a tree that no distribution made need not have as a link. */
export function baseFolder(tree: string, version: string): string {
  return existsSync(join(tree, "lib/modules", version)) ? tree : join(tree, "usr");
}
