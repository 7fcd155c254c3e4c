/**
 * The modules of a tree's kernels: those that the image keeps, and those of the initrd.
 * @module
 */
import { existsSync } from "node:fs";
import { readFile, readlink, rm, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { chooseFirmware, chooseModules, moduleName, withDependencies } from "@imgtool/boot";
import { NotFoundError, systemErrorCode } from "@imgtool/core";
import { pathExists, runTool } from "@imgtool/host";
import { resolveInTree } from "@imgtool/sandbox";
import type { BuildContext } from "../context.ts";
import { compressFile } from "../steps/compress.ts";
import { packCpio } from "../steps/pack-cpio.ts";
import { walkTree } from "../tree-walk.ts";
import { baseFolder, runDepmod } from "./depmod.ts";
import { initrdEpoch } from "./initrd.ts";
import { keepModules, keptModules } from "./kept-modules.ts";
import { findKernels, type Kernel } from "./kernels.ts";

const firmwareFolder = "usr/lib/firmware";
// Loaded by the kernel before there are modules.
const microcode = /^(?:amd|intel)-ucode(?:\/|$)/;

/**
 * Makes modules.dep and its like for every kernel, after removing the modules that KernelModules= leaves
 * out, and, with that or FirmwareFiles=, the firmware that neither the others need nor that setting keeps.
 */
export async function filterModules(context: BuildContext): Promise<void> {
  const { tree, config } = context;
  // The modules of what an addon adds to are in order already.
  if (config.format === "addon") return;
  const kernels = await findKernels(tree);
  const required = new Set<string>();
  for (const { version, image } of kernels) {
    await checkModulesFolder(tree, version, image);
    const folder = await modulesFolder(tree, version);
    await runDepmod(context, version, folder, "all");
    if (config.kernelModules.length === 0 && config.firmwareFiles.length === 0) continue;
    const { modules, firmware } = await requiredFiles(context, version, config.kernelModules);
    for (const path of firmware) required.add(path);
    const keep = new Set(modules);
    let removed = 0;
    for (const path of await listModules(folder)) {
      if (keep.has(path)) continue;
      await rm(join(folder, path));
      removed++;
    }
    if (removed > 0) await runDepmod(context, version, folder, "chosen");
  }
  if (kernels.length === 0 || (config.kernelModules.length === 0 && config.firmwareFiles.length === 0)) return;
  const there = await listFirmware(tree);
  for (const path of await withTargets(tree, chooseFirmware(there, config.firmwareFiles))) required.add(path);
  for (const path of there)
    if (!required.has(path) && !microcode.test(path)) await rm(await resolveInTree(tree, `${firmwareFolder}/${path}`));
}

/**
 * Makes the initrd with the kernel's modules and their firmware, once in a build: boot entries and split
 * artifacts both have it, and it takes longer than all else of a build with a cached tree. Returns its path.
 */
export async function packModules(context: BuildContext, { version }: Kernel): Promise<string> {
  const made = context.packedModules.get(version) ?? packModulesOf(context, version);
  context.packedModules.set(version, made);
  return await made;
}

async function packModulesOf(context: BuildContext, version: string): Promise<string> {
  const { tree, config, workspace, progress, signal } = context;
  const { modules, firmware } = await requiredFiles(context, version, config.kernelInitrdModules);
  const folder = (await modulesFolder(tree, version)).slice(tree.length + 1);
  const files = new Set([
    ...modules.map((path) => `${folder}/${path}`),
    ...firmware.map((path) => `${firmwareFolder}/${path}`),
  ]);
  const folders = new Set([...files].flatMap(parents));
  for (const path of parents(`${folder}/x`)) folders.add(path);
  const entries = {
    tree,
    // Below the folder itself: modules.dep and the other lists, which modprobe reads.
    select: (path: string) => files.has(path) || folders.has(path) || /^modules\.[^/]*$/.test(below(path, folder)),
    // Those lists were made by the build, and have the image's own time, which changes with each of its files.
    latest: initrdEpoch,
  };
  const output = join(workspace, `modules-${version}.cpio`);
  const target = `${output}.zst`;
  const kept = await keptModules(context, version, entries);
  if (kept !== undefined && (await pathExists(kept))) {
    progress.log("info", `the initrd with the modules of ${version} is the former build's`);
    // Boot entries have the name: it is the same every time.
    await symlink(kept, target);
    return target;
  }
  await packCpio({ ...entries, output, progress, signal });
  const { compressLevel: level } = config;
  await compressFile({ source: output, target, compression: "zstd", level, progress, signal });
  if (kept !== undefined) await keepModules(context, target, kept);
  return target;
}

async function requiredFiles(
  { tree, signal }: BuildContext,
  version: string,
  patterns: readonly string[],
): Promise<{ modules: string[]; firmware: string[] }> {
  const folder = await modulesFolder(tree, version);
  const all = new Set(await listModules(folder));
  const chosen = chooseModules([...all], patterns);
  const [dependencies, soft] = await Promise.all(
    ["modules.dep", "modules.softdep"].map(async (name) => await readOptional(join(folder, name))),
  );
  const modules = withDependencies(chosen, dependencies ?? "", soft ?? "").filter((path) => all.has(path));
  const there = await listFirmware(tree);
  if (there.length === 0 || modules.length === 0) return { modules, firmware: [] };
  const wanted = await firmwareOf(tree, version, modules.map(moduleName), signal);
  return {
    modules,
    // What packages compress has a suffix that the module's word for it lacks.
    firmware: await withTargets(
      tree,
      there.filter((path) => wanted.has(path) || wanted.has(path.replace(/\.(?:xz|zst)$/, ""))),
    ),
  };
}

async function firmwareOf(
  tree: string,
  version: string,
  names: readonly string[],
  signal: AbortSignal | undefined,
): Promise<Set<string>> {
  const wanted = new Set<string>();
  // A command line has its limit.
  for (let index = 0; index < names.length; index += 2000) {
    const some = names.slice(index, index + 2000);
    const args = ["--basedir", baseFolder(tree, version), "--set-version", version, "--field=firmware", ...some];
    const { stdout } = await runTool("modinfo", args, { signal });
    for (const line of stdout.split("\n")) if (line !== "") wanted.add(line);
  }
  return wanted;
}

/** Firmware has many names: a link is worth nothing without the files and links that it leads to. */
async function withTargets(tree: string, paths: readonly string[]): Promise<string[]> {
  const folder = await resolveInTree(tree, firmwareFolder, { followLast: true });
  const all = new Set<string>();
  const open = [...paths];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (all.has(path)) continue;
    all.add(path);
    const place = await resolveInTree(tree, `${firmwareFolder}/${path}`);
    const target = await readLink(place);
    if (target === undefined) continue;
    // Where the next name lies, through links to folders on the way.
    const from = target.startsWith("/") ? target : `${dirname(place).slice(tree.length)}/${target}`;
    const next = await resolveInTree(tree, from);
    if (next.startsWith(`${folder}/`)) open.push(next.slice(folder.length + 1));
  }
  return [...all].sort();
}

async function readLink(path: string): Promise<string | undefined> {
  try {
    return await readlink(path);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === "EINVAL" || code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}

/**
 * The kernel looks for its modules under what it calls itself, whatever the folder's name is that it lies in.
 * @throws NotFoundError `modules-missing`
 */
async function checkModulesFolder(tree: string, version: string, image: string): Promise<void> {
  if (await pathExists(await modulesFolder(tree, version))) return;
  const place = image.slice(tree.length);
  throw new NotFoundError(`the kernel ${place} is ${version}, and the image has no /usr/lib/modules/${version}`, {
    code: "modules-missing",
    hint: `move ${dirname(place)} to /usr/lib/modules/${version}, or take the kernel that belongs to its modules`,
    data: { version, kernel: place, expected: `/usr/lib/modules/${version}` },
  });
}

async function modulesFolder(tree: string, version: string): Promise<string> {
  return await resolveInTree(tree, `usr/lib/modules/${version}`, { followLast: true });
}

/** Paths of modules, relative to the folder. */
async function listModules(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { inner, stat } of walkTree(folder)) {
    const path = inner.toString();
    if (stat.isFile() && /\.ko(?:\.\w+)?$/.test(path)) found.push(path);
  }
  return found;
}

/** Paths of firmware files and links to them, relative to the firmware folder. */
async function listFirmware(tree: string): Promise<string[]> {
  const folder = await resolveInTree(tree, firmwareFolder, { followLast: true });
  const found: string[] = [];
  if (!existsSync(folder)) return found;
  for await (const { inner, stat } of walkTree(folder)) if (!stat.isDirectory()) found.push(inner.toString());
  return found;
}

async function readOptional(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

function parents(path: string): string[] {
  const names = path.split("/").slice(0, -1);
  return names.map((_, index) => names.slice(0, index + 1).join("/"));
}

function below(path: string, folder: string): string {
  return path.startsWith(`${folder}/`) ? path.slice(folder.length + 1) : "/";
}
