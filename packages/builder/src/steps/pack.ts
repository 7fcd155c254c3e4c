/**
 * Packs the finished tree in the format that the project asks for.
 * @module
 */
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemErrorCode } from "@imgtool/core";
import { runTool } from "@imgtool/host";
import { describeFile, describeFolder } from "../artifacts.ts";
import { writeAddonOutput } from "../boot/addon.ts";
import { writeUkiOutput } from "../boot/entries.ts";
import { installGrub } from "../boot/grub.ts";
import type { BuildContext } from "../context.ts";
import { isWithinKernel } from "../formats.ts";
import type { Artifact } from "../record.ts";
import { outputNames, uncompressed } from "../outputs.ts";
import { clampTimes } from "./clamp-times.ts";
import { compressFile } from "./compress.ts";
import { convertDisk } from "./convert-disk.ts";
import { packCpio } from "./pack-cpio.ts";
import { finishPartitions } from "./pack-disk.ts";
import { packOci } from "./pack-oci.ts";
import { packTar } from "./pack-tar.ts";
import { splitPartitions } from "./split.ts";

/** Makes the image in the staging folder and notes it as an artifact. */
export async function packImage(context: BuildContext): Promise<void> {
  const { config, staging } = context;
  const made: Artifact[] = [];
  const { image, rootHash: rootHashName, rootHashSignature: signatureName } = outputNames(config);
  if (image === undefined) return;
  const describe = { folder: staging, progress: context.progress, signal: context.signal };

  if (config.format === "directory" || config.format === "oci") {
    if (config.format === "directory") await moveTree(context, join(staging, image));
    else {
      await packOci(context, join(staging, image));
      // Published, a layout is a tree, with its times.
      await clampTimes(join(staging, image), config.sourceDateEpoch, context.signal);
    }
    made.push(await describeFolder(image, describe));
  } else if (config.format === "tar" || config.format === "cpio") {
    const packArchive = config.format === "tar" ? packTar : packCpio;
    await packArchive({ ...context, output: join(staging, uncompressed(image)) });
    await compress(context, image);
    made.push(await describeFile(config.format, image, describe));
  } else if (config.format === "uki") {
    await writeUkiOutput(context, join(staging, image));
    made.push(await describeFile("uki", image, describe));
  } else if (context.addonStub !== undefined) {
    await writeAddonOutput(context, context.addonStub, join(staging, image));
    made.push(await describeFile("addon", image, describe));
  } else {
    const { rootHash, rootHashSignature, partitions } = await finishPartitions(context);
    if (context.grub !== undefined) await installGrub(context.grub, join(staging, uncompressed(image)), partitions);
    await splitPartitions(context, join(staging, uncompressed(image)), partitions);
    await convertDisk(context, join(staging, uncompressed(image)));
    await compress(context, image);
    made.push({
      ...(await describeFile("disk", image, describe)),
      ...(rootHash === undefined ? {} : { rootHash }),
      partitions,
    });
    if (rootHash !== undefined) {
      await writeFile(join(staging, rootHashName), `${rootHash}\n`);
      made.push(await describeFile("roothash", rootHashName, describe));
    }
    if (rootHashSignature !== undefined) {
      await writeFile(join(staging, signatureName), rootHashSignature);
      made.push(await describeFile("roothash-signature", signatureName, describe));
    }
  }
  // The image comes first, before what was split off it.
  context.artifacts.unshift(...made);
}

async function compress({ config, staging, progress, signal }: BuildContext, image: string): Promise<void> {
  if (isWithinKernel(config.format)) return;
  await compressFile({
    source: join(staging, uncompressed(image)),
    target: join(staging, image),
    compression: config.compressOutput,
    level: config.compressLevel,
    forKernel: config.format === "cpio",
    progress,
    signal,
  });
}

async function moveTree({ tree, signal }: BuildContext, target: string): Promise<void> {
  try {
    await rename(tree, target);
  } catch (error) {
    if (systemErrorCode(error) !== "EXDEV") throw error;
    await runTool("cp", ["--archive", "--", tree, target], { signal });
  }
}
