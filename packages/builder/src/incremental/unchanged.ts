/**
 * A build of which nothing has changed: its outputs are verified, and stay.
 * @module
 */
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import type { ImageConfig } from "@imgtool/config";
import { FormatError, NotFoundError } from "@imgtool/core";
import { digestFile, makeAtomically } from "@imgtool/host";
import type { BuildContext } from "../context.ts";
import { buildRecordPath } from "../outputs.ts";
import { configDigest, inputDigests, readBuildRecord, type BuildRecord } from "../record.ts";
import { allScripts } from "../steps/script-points.ts";
import { digestPath } from "./digests.ts";
import { fingerprints } from "./fingerprints.ts";
import { inputsKey, treeInputs } from "./inputs.ts";
import { madeByBuilds, unseenByScripts } from "./sources.ts";
import { cacheFolder } from "./tree-cache.ts";

/**
 * A digest of everything that the outputs depend on; undefined where that cannot be known: without
 * Incremental=, with scripts that use the network, or with repositories that do not tell.
 */
export async function wholeInputs(context: BuildContext): Promise<string | undefined> {
  const { config, signal } = context;
  const scripts = allScripts(config);
  const usesNetwork = config.withNetwork || config.syncScripts.length > 0 || config.prepareScripts.length > 0;
  if (config.incremental === "no" || config.makeInitrd || (usesNetwork && scripts.length > 0)) return undefined;
  const packages = await fingerprints(context);
  if (packages === undefined) return undefined;
  const inputs: Record<string, string> = {
    ...(await treeInputs(config, packages.image, signal)),
    "the initrd's packages": config.bootable === "disabled" ? "" : packages.initrd,
    "the packages of the build and the volatile ones": packages.further,
    "the configuration": configDigest(config),
    ...(await inputDigests(config)),
  };
  const paths = [
    ...config.extraTrees.map(({ source }) => source),
    ...config.repartDirectories,
    ...config.volatilePackageDirectories,
    ...config.initrds,
    config.secureBootKey,
    config.secureBootCertificate,
    config.signExpectedPcr?.key,
    config.signExpectedPcr?.certificate,
    config.verityKey,
    config.verityCertificate,
    config.passphraseFile,
    config.nspawnSettings,
    config.splash,
  ];
  for (const path of paths)
    if (path !== undefined)
      inputs[relative(config.directory, path)] = await digestPath(path, signal, madeByBuilds(config));
  for (const { source } of scripts.length > 0 ? config.buildSources : []) {
    const unseen = await unseenByScripts(config, source, signal);
    inputs[`the sources in ${relative(config.directory, source)}`] = await digestPath(source, signal, unseen);
  }
  return inputsKey(inputs);
}

/** The record of the former build when it was made of the same inputs and its outputs are whole. */
export async function unchangedRecord(context: BuildContext, whole: string): Promise<BuildRecord | undefined> {
  const { config, progress } = context;
  let record: BuildRecord;
  try {
    record = await readBuildRecord(buildRecordPath(config));
  } catch (error) {
    if (error instanceof NotFoundError || error instanceof FormatError) return undefined;
    throw error;
  }
  if (record.inputs.whole !== whole) return undefined;
  const known = await readKept(config);
  using task = progress.start({ label: "verify the outputs" });
  for (const { path, sha256, size } of record.artifacts) {
    // A folder has no digest of its own.
    if (sha256 === undefined) return undefined;
    const place = join(config.outputDirectory, path);
    if (known[path] !== undefined && known[path] === (await identityOf(place))) continue;
    if ((await digestOf(place, size)) !== sha256) return undefined;
  }
  task.done("nothing has changed");
  return record;
}

/** Notes the outputs as they are now: one that has not been touched since need not be read again. */
export async function noteOutputs({ config }: BuildContext, record: BuildRecord): Promise<void> {
  const known: Record<string, string> = {};
  for (const { path, sha256 } of record.artifacts) {
    const identity = sha256 === undefined ? undefined : await identityOf(join(config.outputDirectory, path));
    if (identity !== undefined) known[path] = identity;
  }
  await mkdir(cacheFolder(config), { recursive: true });
  await makeAtomically(keptFile(config), async (temporary) => await writeFile(temporary, JSON.stringify(known)));
}

function keptFile(config: ImageConfig): string {
  return join(cacheFolder(config), `${config.output}.outputs.json`);
}

async function readKept(config: ImageConfig): Promise<Readonly<Record<string, string>>> {
  try {
    return JSON.parse(await readFile(keptFile(config), "utf8")) as Record<string, string>;
  } catch {
    // Without it the outputs are read.
    return {};
  }
}

/** What changes with every write to a file; nobody can set the time of a change. */
async function identityOf(path: string): Promise<string | undefined> {
  const status = await stat(path, { bigint: true }).catch(() => undefined);
  return status?.isFile() === true ? `${status.dev}:${status.ino} ${status.size} ${status.ctimeNs}` : undefined;
}

async function digestOf(path: string, size: number): Promise<string | undefined> {
  const status = await stat(path).catch(() => undefined);
  if (status?.isFile() !== true || status.size !== size) return undefined;
  return await digestFile(path);
}
