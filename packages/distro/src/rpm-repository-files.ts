/**
 * The lists of repositories that dnf and zypper are given, and the folders that they keep of each in their caches.
 * @module
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { localRepositoryName } from "./local-packages.ts";
import { plainFiles } from "./package-cache.ts";

/** One section of a .repo file. */
export interface RepositorySection {
  readonly id: string;
  readonly enabled: boolean;
  /** `key=value`, and what else stands there. */
  readonly lines: readonly string[];
}

/** The repositories in a folder of .repo files, without that of the project's own packages. */
export async function readRepositorySections(folder: string): Promise<RepositorySection[]> {
  const sections: RepositorySection[] = [];
  for (const name of await plainFiles(folder)) {
    if (!name.endsWith(".repo") || name === `${localRepositoryName}.repo`) continue;
    const parts = (await readFile(join(folder, name), "utf8")).split(/^\s*\[(.+)\]\s*$/m).slice(1);
    for (let at = 0; at < parts.length; at += 2) {
      const [id = "", text = ""] = parts.slice(at);
      const enabled = !/^\s*enabled\s*=\s*(?:0|no|false|off)\s*$/im.test(text);
      sections.push({ id, enabled, lines: text.split("\n") });
    }
  }
  return sections;
}

/** The repository of a folder in dnf's cache, ID-DIGEST: the digest is of its address. */
export function repositoryOfFolder(name: string): string {
  return name.replace(/-[0-9a-f]{16}$/, "");
}
