/**
 * The file by which systemd knows what a system or configuration extension fits: extension-release.d of
 * os-release(5). Fields that the project wrote stay.
 * @module
 */
import type { ImageConfig } from "@imgtool/config";
import { extensionForms, isExtension } from "../formats.ts";
import { readTreeFile, writeTreeFile } from "../tree-file.ts";

/** Writes it for an extension; other images have none. */
export async function writeExtensionRelease(tree: string, config: ImageConfig): Promise<void> {
  const { format, output, imageId, imageVersion, architecture } = config;
  const release = isExtension(format) ? extensionForms[format].release : undefined;
  if (release === undefined) return;
  const path = `${release.folder}/extension-release.${output}`;
  const own = await readTreeFile(tree, path);
  const system = parseRelease(
    (await readTreeFile(tree, "usr/lib/os-release")) ?? (await readTreeFile(tree, "etc/os-release")) ?? "",
  );
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

/** Names and values of os-release(5), without quotes. */
function parseRelease(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of text.split("\n")) {
    const match = /^([A-Z0-9_]+)=(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|(.*))$/.exec(line.trim());
    if (match !== null) fields.set(match[1] ?? "", (match[2] ?? match[3] ?? match[4] ?? "").replaceAll(/\\(.)/g, "$1"));
  }
  return fields;
}

function quoted(value: string): string {
  return /^[A-Za-z0-9._-]+$/.test(value) ? value : `"${value.replaceAll(/["\\$`]/g, String.raw`\$&`)}"`;
}
