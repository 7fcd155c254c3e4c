/**
 * Options that say what of a directory goes into an archive, with casync's names.
 * @module
 */
import type { Progress } from "@imgtool/core";
import type { Command } from "commander";
import { addNetworkOptions, addStoreOptions, addWhatOption, type What } from "./chunk-options.ts";
import { addDiskCacheOptions } from "./disk-cache.ts";
import { openTree, type OpenedTree, type OpenOptions } from "./open-source.ts";
import { yesNo } from "./parse.ts";
import { addUidOptions, idShiftOf, type UidOptions } from "./uid-options.ts";
import { collect } from "./verb.ts";

export interface FeatureOptions extends UidOptions {
  readonly with?: readonly string[];
  readonly without?: readonly string[];
  readonly excludeNodump: boolean;
  readonly excludeSubmounts: boolean;
  readonly excludeFile: boolean;
  readonly digest?: "sha512-256" | "sha256";
}

export function addFeatureOptions(command: Command): Command {
  return addMetadataOptions(addUidOptions(command), "archive")
    .option("--exclude-nodump <yes|no>", "leave out files with the nodump attribute of chattr", yesNo, true)
    .option("--exclude-submounts <yes|no>", "leave out file systems mounted inside the directory", yesNo, false)
    .option("--exclude-file <yes|no>", "leave out what .caexclude files name", yesNo, true);
}

/** `--with` and `--without`. @param does what is done with the metadata */
export function addMetadataOptions(command: Command, does: string): Command {
  return command
    .option("--with <features>", `${does} only this metadata: names joined by commas; may be repeated`, collect)
    .option("--without <features>", "leave out this metadata; may be repeated", collect);
}

/** The feature flags that the options ask for. @throws ConfigError `feature-unknown` */
export async function directoryFlags(options: Partial<FeatureOptions>): Promise<bigint> {
  const { parseWith } = await import("@imgtool/catar");
  const { with: include, without, digest, excludeNodump, excludeSubmounts, excludeFile } = options;
  return parseWith({
    ...(include === undefined ? {} : { with: names(include) }),
    ...(without === undefined ? {} : { without: names(without) }),
    ...(digest === undefined ? {} : { digest }),
    ...(excludeNodump === undefined ? {} : { excludeNodump }),
    ...(excludeSubmounts === undefined ? {} : { excludeSubmounts }),
    ...(excludeFile === undefined ? {} : { excludeFile }),
  });
}

/** The names in options such as `--with=unix,xattrs`. */
function names(values: readonly string[]): string[] {
  return values.flatMap((value) => value.split(",")).map((name) => name.trim());
}

export interface TreeOptions extends OpenOptions, FeatureOptions {
  readonly what?: What;
}

/** The arguments and options of verbs that look into trees. */
export function addTreeArguments(
  command: Command,
  sources = ".caidx (path or URL), .catar, directory, or - for an archive on standard input",
  whats: readonly What[] = ["archive", "archive-index", "directory"],
): Command {
  command
    .argument("[source]", sources, ".")
    .argument("[path]", "a path inside the archive; of an index, only the chunks that it needs are fetched")
    .option("--seed <path>", "a directory, file, device or index to take chunks from; may be repeated", collect);
  addWhatOption(command, whats);
  return addFeatureOptions(addDiskCacheOptions(addNetworkOptions(addStoreOptions(command))));
}

/** `--content-digest`: for verbs that print digests of files' contents. */
export function addContentDigestOption(command: Command): Command {
  return command.option(
    "--content-digest <yes|no>",
    "print digests of files' contents; without, contents of an archive or index are not read",
    yesNo,
    true,
  );
}

/**
 * Opens a tree, or the node at a path inside it.
 * @param skims whether contents of files are passed over
 */
export async function openTreeAt(
  location: string,
  path: string | undefined,
  options: TreeOptions,
  progress: Progress,
  signal: AbortSignal,
  skims = false,
): Promise<OpenedTree> {
  const flags = await directoryFlags(options);
  const parts = skims || path !== undefined;
  await using resources = new AsyncDisposableStack();
  const { source } = resources.use(
    await openTree(location, { ...options, flags, parts, idShift: idShiftOf(options, location) }, progress, signal),
  );
  if (path === undefined) {
    const owned = resources.move();
    return { source, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  }
  const { openSubtree } = await import("@imgtool/sync");
  const subtree = resources.use(await openSubtree(source, path, signal));
  const owned = resources.move();
  return { source: { subtree }, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
