/**
 * What can be installed now, as the lists of repositories tell: whatever is chosen from them depends on nothing
 * else. Lists change more often than an image's packages do, so a digest of them is never too old, and at times
 * newer than it had to be.
 * @module
 */
import { createHash } from "node:crypto";
import { digestFile } from "@imgtool/host";
import type { PackageType } from "./distribution.ts";
import { packageFiles } from "./local-packages.ts";

export interface AvailablePackages {
  readonly type: PackageType;
  /** The lists of the archives' packages: files on this machine, by what they are called. */
  readonly lists: readonly (readonly [name: string, path: string])[];
  /** Folders with packages of the project's own. */
  readonly packageDirectories: readonly string[] | undefined;
}

/** A digest for each of the requests: names of packages. */
export async function digestAvailable(
  { type, lists, packageDirectories = [] }: AvailablePackages,
  requests: readonly (readonly string[])[],
): Promise<string[]> {
  const available: string[] = [];
  for (const [name, path] of [...lists, ...(await packageFiles(type, packageDirectories))])
    available.push(`${name} ${await digestFile(path)}`);
  return requests.map((packages) =>
    createHash("sha256")
      .update(JSON.stringify([available, packages]))
      .digest("hex"),
  );
}
