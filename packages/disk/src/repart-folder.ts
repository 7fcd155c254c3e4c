/**
 * Reads folders of partition definitions as systemd-repart(8) does: files sort by name whatever folder
 * they are in, one of an earlier folder hides one of the same name in a later, an empty file or a link
 * to /dev/null hides without defining anything, and NAME.conf.d/*.conf are read after NAME.conf.
 * @module
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { systemErrorCode } from "@imgtool/core";
import type { PartitionDefinition } from "./definitions.ts";
import { parseDefinition, type ParseDefinitionOptions, type RepartWarning } from "./repart-file.ts";
import { Problems } from "./problems.ts";
import { mergeSupplements } from "./supplement.ts";

export interface ReadDefinitionsResult {
  readonly definitions: readonly PartitionDefinition[];
  readonly warnings: readonly RepartWarning[];
}

/**
 * Reads all definitions of the folders. What is wrong with several files is said at once.
 * @throws ConfigError `definition-invalid` with file and line
 */
export async function readDefinitions(
  folders: readonly string[],
  options: Pick<ParseDefinitionOptions, "expand"> = {},
): Promise<ReadDefinitionsResult> {
  const definitions: PartitionDefinition[] = [];
  const warnings: RepartWarning[] = [];
  const problems = new Problems();
  for (const [name, source] of await readConfigs(folders)) {
    const dropIns = await readConfigs(folders.map((folder) => join(folder, `${name}.d`)));
    const parsed = problems.attempt(() =>
      parseDefinition(source.text, source.file, { ...options, dropIns: [...dropIns.values()] }),
    );
    if (parsed === undefined) continue;
    definitions.push(parsed.definition);
    warnings.push(...parsed.warnings);
  }
  problems.throwAny();
  return { definitions: mergeSupplements(definitions), warnings };
}

interface Source {
  readonly file: string;
  readonly text: string;
}

/** The files *.conf of several folders, by name and in the order of the names' bytes. */
async function readConfigs(folders: readonly string[]): Promise<Map<string, Source>> {
  const found = new Map<string, Source>();
  for (const folder of folders) {
    for (const name of await listFolder(folder)) {
      if (!name.endsWith(".conf") || found.has(name)) continue;
      const file = join(folder, name);
      found.set(name, { file, text: await readFile(file, "utf8") });
    }
  }
  const sorted = [...found].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return new Map(sorted.filter(([, { text }]) => text !== ""));
}

async function listFolder(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return [];
    throw error;
  }
}
