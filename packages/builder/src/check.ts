/**
 * What can be known to fail before anything is done: outputs in the way, scripts and trees that are
 * missing, rights, partition definitions that cannot be, programs that packing needs.
 * @module
 */
import { access, constants, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { ImageConfig } from "@imgtool/config";
import {
  ConfigError,
  EnvironmentError,
  ExistsError,
  NotFoundError,
  silentProgress,
  systemErrorCode,
  type Progress,
} from "@imgtool/core";
import { checkSigner, findFilesystem, formatOf, readPassphrases } from "@imgtool/disk";
import { requireTool, pathExists } from "@imgtool/host";
import { isRoot, mappedUserIds } from "@imgtool/sandbox";
import { checkBootable } from "./boot/plan.ts";
import { isDisk, isWithinKernel } from "./formats.ts";
import { imageAt } from "./copy-tree.ts";
import { checkReadable } from "./disk-tree.ts";
import { outputNames } from "./outputs.ts";
import { isImageLink, recordedOutputs } from "./publish-outputs.ts";
import { checkPartitions } from "./check-partitions.ts";
import { partitionDefinitions } from "./repart-definitions.ts";
import { pcrSigner, secureBootSigner, veritySigner } from "./signers.ts";
import { checkSigningKey } from "./sign-checksums.ts";
import { compressors } from "./steps/compress.ts";
import { layerSuffix } from "./steps/pack-oci.ts";
import { allScripts } from "./steps/script-points.ts";

/** The ids that Debian's policy has for a system's own users and nobody: 0 to 65535. */
const imageUserIds = 65536;

/**
 * Checks a build's preconditions.
 * @param told warnings that are given: what reads partition definitions later need not repeat them
 * @throws ExistsError `output-exists`, NotFoundError `tree-not-found`, ConfigError
 *   `script-not-executable`, `key-mismatch`, `passphrase-missing`, `not-bootable`, EnvironmentError `root-needed`,
 *   `subordinate-ids-missing`, `tool-missing`
 */
export async function checkBuild(
  config: ImageConfig,
  force: boolean,
  progress: Progress = silentProgress,
  told: Set<string> = new Set(),
): Promise<void> {
  const { image, record } = outputNames(config);
  const inTheWay: string[] = [];
  for (const name of [image, record]) {
    if (name === undefined || force) continue;
    const path = join(config.outputDirectory, name);
    if (await pathExists(path)) inTheWay.push(path);
  }
  const [first] = inTheWay;
  if (first !== undefined) {
    throw new ExistsError(`the output ${first} exists already`, {
      code: "output-exists",
      hint: "build with -f to replace it, or raise ImageVersion=",
      data: { paths: inTheWay },
    });
  }
  checkBootable(config);
  await checkFolderInTheWay(config, image);
  await checkUser(config);
  const baseTrees = config.baseTrees.map((source) => ({ source, target: "/" }));
  for (const tree of [...baseTrees, ...config.sandboxTrees, ...config.skeletonTrees, ...config.extraTrees]) {
    const { source } = tree;
    if (await pathExists(source)) {
      const systems = await imageAt(tree);
      if (systems !== undefined) await checkReadable(source, systems);
      continue;
    }
    throw new NotFoundError(`the tree ${source} does not exist`, {
      code: "tree-not-found",
      hint: "correct BaseTrees=, SandboxTrees=, SkeletonTrees= or ExtraTrees=",
      data: { source },
    });
  }
  const scripts = allScripts(config);
  for (const { path, setting } of scripts) await checkScript(path, setting);
  if (scripts.length > 0 || config.distribution !== "custom") await requireTool("bwrap");
  // For mkosi-chroot, which any script may call, and for the layers that build scripts run on.
  if (scripts.length > 0) for (const tool of ["mount", "unshare"]) await requireTool(tool);
  const compressor = compressors[config.compressOutput];
  if (compressor !== undefined) await requireTool(compressor);
  if (config.format === "oci" && layerSuffix[config.compressOutput] === undefined) {
    throw new ConfigError(`CompressOutput=${config.compressOutput}: layers of OCI images have no such compression`, {
      code: "compression-unsupported",
      hint: "use gz, zstd or none",
      data: { compression: config.compressOutput },
    });
  }
  if (config.bootable === "enabled") await requireTool("depmod");
  await secureBootSigner(config, progress);
  // Whoever has keys for other ends alone need not have one that signs these.
  if (config.bootable === "enabled" || isWithinKernel(config.format)) await pcrSigner(config, progress);
  await checkSigningKey(config);
  if (config.diskFile !== "raw") await requireTool("qemu-img");
  if (isDisk(config.format)) await checkDisk(config, progress, told);
}

/** The files of an image belong to many users: who builds must be able to give them away. */
async function checkUser(config: ImageConfig): Promise<void> {
  if (!isRoot()) {
    throw new EnvironmentError("building an image needs root, or a user namespace in which to be root", {
      code: "root-needed",
      hint: "imgtool build enters one by itself; other programs do with findUserNamespace() of @imgtool/sandbox",
    });
  }
  if (config.distribution === "custom" || (await mappedUserIds()) >= imageUserIds) return;
  throw new EnvironmentError(
    "installing packages without root needs subordinate user ids: a file of theirs may belong to any user",
    {
      code: "subordinate-ids-missing",
      hint: "as root: apt-get install uidmap; usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER; or run imgtool with sudo",
    },
  );
}

/** The partition definitions are sound, keys fit, and the programs that make their file systems are there. */
async function checkDisk(config: ImageConfig, progress: Progress, told: Set<string>): Promise<void> {
  const isBootable = config.bootable === "enabled";
  // Then nothing is known of them yet: the step that makes the partitions checks them all the same.
  if (await haveScriptsFor(config.repartDirectories, config)) return;
  const boots = { esp: isBootable, bios: isBootable && config.biosBootloader === "grub" };
  const definitions = await partitionDefinitions(config, progress, boots, { told });
  checkPartitions(config, definitions);
  if (config.verity !== "defer") checkSigner(definitions, await veritySigner(config, progress));
  readPassphrases(definitions, config.passphraseFile, progress);
  for (const definition of definitions) {
    const format = formatOf(definition);
    if (format === undefined || format === "empty") continue;
    for (const tool of findFilesystem(format).tools) await requireTool(tool);
  }
}

/** Whether a script of the build names one of the folders: it may be what writes the files there. */
async function haveScriptsFor(folders: readonly string[], config: ImageConfig): Promise<boolean> {
  const names = folders.map((folder) => basename(folder));
  for (const { path } of allScripts(config)) {
    const text = await readFile(path, "latin1");
    if (names.some((name) => text.includes(name))) return true;
  }
  return false;
}

/** `force` replaces outputs, not a folder that happens to have the output's name. */
async function checkFolderInTheWay(config: ImageConfig, image: string | undefined): Promise<void> {
  if ((config.format !== "directory" && config.format !== "oci") || image === undefined) return;
  const path = join(config.outputDirectory, image);
  if ((await isImageLink(config)) || !(await pathExists(path)) || (await recordedOutputs(config)).includes(image))
    return;
  throw new ExistsError(`${path} exists, and no build made it`, {
    code: "folder-in-the-way",
    hint: "move it away, or choose another name with Output=",
    data: { path },
  });
}

async function checkScript(script: string, setting: string): Promise<void> {
  try {
    await access(script, constants.X_OK);
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") {
      throw new NotFoundError(`the script ${script} does not exist`, {
        code: "script-not-found",
        hint: `correct ${setting}=`,
        data: { script },
        cause: error,
      });
    }
    throw new ConfigError(`the script ${script} is not executable`, {
      code: "script-not-executable",
      hint: `chmod +x ${script}`,
      data: { script },
      cause: error,
    });
  }
}
