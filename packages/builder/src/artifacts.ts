/**
 * Describes finished outputs for the build record and SHA256SUMS.
 * @module
 */
import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { throwIfAborted, type Progress } from "@imgtool/core";
import { readPieces } from "@imgtool/host";
import type { Artifact, ArtifactKind } from "./record.ts";
import { walkTree } from "./tree-walk.ts";

export interface DescribeOptions {
  readonly folder: string;
  readonly progress: Progress;
  readonly signal: AbortSignal | undefined;
}

/** Size and digest of a file in `folder`. */
export async function describeFile(kind: ArtifactKind, path: string, options: DescribeOptions): Promise<Artifact> {
  const place = join(options.folder, path);
  const { size } = await stat(place);
  using task = options.progress.start({ label: `digest ${path}`, unit: "bytes", total: size });
  const hash = createHash("sha256");
  for await (const piece of readPieces(place)) {
    throwIfAborted(options.signal);
    hash.update(piece);
    task.advance(piece.length);
  }
  task.done();
  return { kind, path, size, sha256: hash.digest("hex") };
}

/** Size of a folder's files together; hard links count once. */
export async function describeFolder(path: string, options: DescribeOptions): Promise<Artifact> {
  const seen = new Set<string>();
  let size = 0;
  for await (const { stat } of walkTree(join(options.folder, path), { signal: options.signal })) {
    const key = `${stat.dev}:${stat.ino}`;
    if (!stat.isFile() || seen.has(key)) continue;
    if (stat.nlink > 1n) seen.add(key);
    size += Number(stat.size);
  }
  return { kind: "directory", path, size };
}

/** The text of a SHA256SUMS file, as `sha256sum --check` reads it. */
export function formatChecksums(artifacts: readonly Pick<Artifact, "path" | "sha256">[]): string {
  return artifacts
    .filter((artifact) => artifact.sha256 !== undefined)
    .map(({ sha256, path }) => `${sha256 ?? ""} *${path}\n`)
    .sort((a, b) => (a.slice(66) < b.slice(66) ? -1 : 1))
    .join("");
}
