/**
 * The file by which systemd knows what a system or configuration extension fits: extension-release.d of
 * os-release(5). Fields that the project wrote stay.
 * @module
 */
import type { ImageConfig } from "@imgtool/config";
import { extensionForms, isExtension } from "../formats.ts";
import { parseRelease, readOsRelease } from "../os-release.ts";
import { readTreeFile, writeTreeFile } from "../tree-file.ts";

/** Writes it for an extension; other images have none. */
export async function writeExtensionRelease(tree: string, config: ImageConfig): Promise<void> {
  const { format, output, imageId, imageVersion, architecture } = config;
  const release = isExtension(format) ? extensionForms[format].release : undefined;
  if (release === undefined) return;
  const path = `${release.folder}/extension-release.${output}`;
  const own = await readTreeFile(tree, path);
  const system = (await readOsRelease(tree)) ?? new Map<string, string>();
  const fields = parseRelease(own ?? "");
  const add = (name: string, value: string | undefined): void => {
    if (value !== undefined && !fields.has(name)) fields.set(name, value);
  };
  add("ID", system.get("ID") ?? "_any");
  const levels = ["VERSION_ID", `${release.prefix}_LEVEL`];
  if (fields.get("ID") !== "_any" && !levels.some((name) => fields.has(name)))
    add("VERSION_ID", system.get("VERSION_ID"));
  add(`${release.prefix}_ID`, imageId);
  add(`${release.prefix}_VERSION_ID`, imageVersion);
  // As mkosi: an extension may be used wherever there is one to use.
  add(`${release.prefix}_SCOPE`, "initrd system portable");
  add("ARCHITECTURE", architecture);
  await writeTreeFile(tree, path, [...fields].map(([name, value]) => `${name}=${quoted(value)}\n`).join(""));
}

function quoted(value: string): string {
  return /^[A-Za-z0-9._-]+$/.test(value) ? value : `"${value.replaceAll(/["\\$`]/g, String.raw`\$&`)}"`;
}
