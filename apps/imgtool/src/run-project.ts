/**
 * What `vm`, `boot` and `shell` begin with: the project, its finished image, and its build where there
 * is none yet.
 * @module
 */
import { join, resolve } from "node:path";
import type { BuildRecord } from "@imgtool/builder";
import type { RuntimeConfig } from "@imgtool/config";
import { ConfigError, NotFoundError } from "@imgtool/core";
import { pathExists } from "@imgtool/host";
import type { RunnableImage } from "@imgtool/machine";
import { becomeRoot } from "./become-root.ts";
import { keepHistory } from "./history.ts";
import { projectCommand, type ProjectCommand, requireBuiltProject, requireProject } from "./project.ts";
import type { VerbContext } from "./verb.ts";

/** A verb that runs the image: options end at the first operand, the rest is the guest's. */
export function runCommand(name: string, summary: string, operand: string): ProjectCommand {
  const project = projectCommand(name, summary);
  project.command
    .argument("[arguments...]", operand)
    .option("-f, --force", "build first, and replace outputs of an earlier build")
    .passThroughOptions();
  return project;
}

export interface RunnableProject {
  readonly image: RunnableImage;
  readonly runtime: RuntimeConfig;
}

/**
 * The project's image, built first where there is none or `--force` asks for it.
 * @throws ConfigError `image-not-runnable`, and what building throws
 */
export async function runnableProject(project: ProjectCommand, context: VerbContext): Promise<RunnableProject> {
  const { reporter, signal } = context;
  const { directory, force = false } = project.command.opts<{ readonly directory: string; readonly force?: boolean }>();
  const require = force ? requireProject : requireBuiltProject;
  const { config, runtime, settings, images } = await require(project, reporter);
  const builder = await import("@imgtool/builder");
  const record = await recordOf(force);
  const image = runnableImage(record, config.outputDirectory, config.sectorSize ?? 512);
  // The files of a folder belong to many users, which an ordinary one cannot read.
  if (image.kind === "directory") await becomeRoot(true);
  return { image: await withSplitKernel(image, config.outputDirectory, record.output), runtime };

  async function recordOf(rebuild: boolean): Promise<BuildRecord> {
    try {
      if (!rebuild) return await builder.readBuildRecord(builder.buildRecordPath(config));
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
    }
    await becomeRoot(true);
    const made = await builder.withSurroundings(config, { progress: reporter, signal }, async () =>
      builder.buildImages(images, { progress: reporter, signal, force: rebuild }),
    );
    await keepHistory(resolve(directory), settings);
    return made;
  }
}

/** The artifact that can run. */
function runnableImage(record: BuildRecord, folder: string, sectorSize: number): RunnableImage {
  const artifact = record.artifacts.find(
    ({ kind }) => kind === "disk" || kind === "directory" || (kind === "uki" && record.format === "uki"),
  );
  if (artifact === undefined) {
    throw new ConfigError(`an image with Format=${record.format} cannot be run`, {
      code: "image-not-runnable",
      hint: "build it with Format=disk, Format=directory or Format=uki",
      data: { format: record.format },
    });
  }
  const diskFormat = { raw: "raw", qcow2: "qcow2", vmdk: "vmdk", vhdx: "vhdx" }[
    artifact.path.split(".").at(-1) ?? ""
  ] as RunnableImage["diskFormat"] | undefined;
  if (artifact.kind === "disk" && diskFormat === undefined) {
    throw new ConfigError(`the disk ${artifact.path} is compressed and cannot be run as it is`, {
      code: "image-not-runnable",
      hint: "build it with CompressOutput=none",
      data: { path: artifact.path },
    });
  }
  return {
    name: record.imageId ?? record.output,
    architecture: record.architecture,
    kind: artifact.kind === "directory" || artifact.kind === "uki" ? artifact.kind : "disk",
    path: join(folder, artifact.path),
    diskFormat: diskFormat ?? "raw",
    sectorSize,
    partitions: artifact.partitions ?? [],
    rootHash: artifact.rootHash,
    kernel: undefined,
    initrds: [],
  };
}

/** Kernel and initrd under the names of SplitArtifacts=, where they are. */
async function withSplitKernel(image: RunnableImage, folder: string, output: string): Promise<RunnableImage> {
  const kernel = join(folder, `${output}.vmlinuz`);
  if (!(await pathExists(kernel))) return image;
  const initrd = join(folder, `${output}.initrd`);
  return { ...image, kernel, initrds: (await pathExists(initrd)) ? [initrd] : [] };
}
