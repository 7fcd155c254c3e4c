/**
 * SplitArtifacts=: parts of the image as files of their own, beside it, under mkosi's names. Whoever boots
 * over the network, or updates a partition at a time, takes them from there.
 * @module
 */
import { copyFile, cp, mkdir, open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { measureUki } from "@imgtool/boot";
import { copyRanges } from "@imgtool/disk";
import { pathExists, readPieces } from "@imgtool/host";
import { describeFile, describeFolder } from "../artifacts.ts";
import { packModules } from "../boot/modules.ts";
import type { BuildContext } from "../context.ts";
import { isWithinKernel } from "../formats.ts";
import type { ArtifactKind, PartitionRecord } from "../record.ts";
import { readTreeFile } from "../tree-file.ts";
import { packTar } from "./pack-tar.ts";

/** Writes the parts that are asked for and that the image has. Partitions are split off when the disk is made. */
export async function splitArtifacts(context: BuildContext): Promise<void> {
  const { config, boot, staging, tree } = context;
  const wanted = new Set(config.splitArtifacts);
  const path = (suffix: string): string => join(staging, `${config.output}.${suffix}`);
  const note = async (kind: ArtifactKind, suffix: string): Promise<void> => {
    context.artifacts.push(await describeFile(kind, `${config.output}.${suffix}`, { ...context, folder: staging }));
  };
  const [kernel] = boot?.kernels ?? [];
  if (boot !== undefined && kernel !== undefined) {
    if (wanted.has("uki") && context.unified !== undefined) {
      await copyFile(context.unified, path("efi"));
      await note("uki", "efi");
    }
    if (wanted.has("pcrs") && context.unified !== undefined) {
      await writeFile(path("pcrs.json"), `${JSON.stringify(await measureUki(context.unified, context.signal))}\n`);
      await note("pcrs", "pcrs.json");
    }
    if (wanted.has("kernel")) {
      await copyFile(kernel.image, path("vmlinuz"));
      await note("kernel", "vmlinuz");
    }
    if (wanted.has("initrd") && context.initrds.length > 0) {
      // The kernel unpacks archives that stand one behind the other; without its modules it finds no disk.
      const modules =
        config.kernelModulesInitrd && !isWithinKernel(config.format) ? [await packModules(context, kernel)] : [];
      await concatenate([...context.initrds, ...modules], path("initrd"));
      await note("initrd", "initrd");
    }
    if (wanted.has("kernel-modules-initrd")) {
      await copyFile(await packModules(context, kernel), path("kernel-modules.initrd"));
      await note("kernel-modules-initrd", "kernel-modules.initrd");
    }
  }
  const release = wanted.has("os-release") ? await osRelease(tree) : undefined;
  if (release !== undefined) {
    await writeFile(path("osrelease"), release);
    await note("os-release", "osrelease");
  }
  if (wanted.has("tar") && config.format !== "tar" && (await pathExists(tree))) {
    await packTar({ ...context, output: path("tar") });
    await note("tar", "tar");
  }
  if (wanted.has("repart-definitions") && config.repartDirectories.length > 0) {
    const folder = path("repart.d");
    await mkdir(folder, { mode: 0o755 });
    for (const source of config.repartDirectories) await cp(source, folder, { recursive: true });
    context.artifacts.push({
      ...(await describeFolder(`${config.output}.repart.d`, { ...context, folder: staging })),
      kind: "repart-definitions",
    });
  }
}

/** Copies the partitions that may stand alone out of a disk that is not compressed yet. */
export async function splitPartitions(
  context: BuildContext,
  disk: string,
  partitions: readonly PartitionRecord[],
): Promise<void> {
  const { config, staging, signal } = context;
  if (!config.splitArtifacts.includes("partitions")) return;
  for (const { splitName, offset, size } of partitions) {
    if (splitName === undefined) continue;
    const name = `${config.output}.${splitName}.raw`;
    const target = join(staging, name);
    await copyRanges({ source: disk, target, size, ranges: [{ from: offset, to: 0, size }], signal });
    context.artifacts.push(await describeFile("partition", name, { ...context, folder: staging }));
  }
}

async function osRelease(tree: string): Promise<string | undefined> {
  return (await readTreeFile(tree, "usr/lib/os-release")) ?? (await readTreeFile(tree, "etc/os-release"));
}

async function concatenate(sources: readonly string[], target: string): Promise<void> {
  await using output = await open(target, "wx");
  for (const source of sources) for await (const piece of readPieces(source)) await output.writeFile(piece);
}
