/**
 * Partition definitions of a project: the files `*.conf` of mkosi.repart/, in the form of repart.d(5).
 * @module
 */
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { ImageConfig } from "@imgtool/config";
import { ConfigError, type Progress } from "@imgtool/core";
import { defaultDefinitions, parseDefinition, type PartitionDefinition } from "@imgtool/disk";

/**
 * The definitions of a configuration: its own files in the order of their names, else the default
 * layout, with an EFI system partition for an image that boots.
 * @throws ConfigError `definition-invalid` with file and line
 */
export async function partitionDefinitions(
  config: ImageConfig,
  progress: Progress,
  boots: boolean,
): Promise<PartitionDefinition[]> {
  const files: string[] = [];
  for (const folder of config.repartDirectories)
    for (const name of await readdir(folder)) if (name.endsWith(".conf")) files.push(join(folder, name));
  if (files.length === 0)
    return defaultDefinitions({ format: config.rootFilesystem, verity: config.verity === "hash", esp: boots });
  files.sort((a, b) => (basename(a) < basename(b) ? -1 : 1));
  const definitions: PartitionDefinition[] = [];
  for (const file of files) {
    const text = await readFile(file, "utf8");
    const { definition, warnings } = parseDefinition(text, file, { expand: (value) => expand(value, config) });
    for (const { message } of warnings) progress.log("warning", message);
    definitions.push(definition);
  }
  return definitions;
}

/** systemd's specifiers that an image's build knows: %A, %M, %a, %%. */
function expand(value: string, config: Pick<ImageConfig, "imageId" | "imageVersion" | "architecture">): string {
  const values: Readonly<Record<string, string | undefined>> = {
    A: config.imageVersion ?? "",
    M: config.imageId ?? "",
    a: config.architecture,
    "%": "%",
  };
  return value.replaceAll(/%(.)/g, (_, letter: string) => {
    const known = values[letter];
    if (known === undefined) throw new ConfigError(`unknown specifier %${letter}`);
    return known;
  });
}
