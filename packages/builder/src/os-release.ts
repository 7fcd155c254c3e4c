/**
 * What an image says of itself: os-release(5).
 * @module
 */
import { readTreeFile } from "./tree-file.ts";

/** The fields of a tree's os-release file, or undefined where it has none. */
export async function readOsRelease(tree: string): Promise<Map<string, string> | undefined> {
  const text = (await readTreeFile(tree, "usr/lib/os-release")) ?? (await readTreeFile(tree, "etc/os-release"));
  return text === undefined ? undefined : parseRelease(text);
}

/** Names and values of os-release(5), without quotes. */
export function parseRelease(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of text.split("\n")) {
    const match = /^([A-Z0-9_]+)=(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|(.*))$/.exec(line.trim());
    if (match !== null) fields.set(match[1] ?? "", (match[2] ?? match[3] ?? match[4] ?? "").replaceAll(/\\(.)/g, "$1"));
  }
  return fields;
}
