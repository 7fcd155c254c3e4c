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
 * layout.
 * @throws ConfigError `definition-invalid`, of a file with its line
 */
export async function partitionDefinitions(config: ImageConfig, progress: Progress): Promise<PartitionDefinition[]> {
  const files: string[] = [];
  for (const folder of config.repartDirectories)
    for (const name of await readdir(folder)) if (name.endsWith(".conf")) files.push(join(folder, name));
  if (files.length === 0)
    return defaultDefinitions({
      format: config.rootFilesystem,
      verity: config.verity === "signed" ? "signed" : config.verity === "hash",
    });
  files.sort((a, b) => (basename(a) < basename(b) ? -1 : 1));
  const definitions: PartitionDefinition[] = [];
  for (const file of files) {
    const text = await readFile(file, "utf8");
    const { definition, warnings } = parseDefinition(text, file, { expand: (value) => expand(value, config) });
    for (const { message } of warnings) progress.log("warning", message);
    definitions.push(definition);
  }
  // As mkosi: Verity=hash leaves signatures out, Verity=signed insists on them.
  if (config.verity === "hash") return definitions.filter(({ verity }) => verity !== "signature");
  if (config.verity === "signed" && !definitions.some(({ verity }) => verity === "signature"))
    throw new ConfigError("Verity=signed, and no partition definition has Verity=signature", {
      code: "definition-invalid",
      hint: "define a signature partition (Type=root-verity-sig), or use Verity=auto",
    });
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
