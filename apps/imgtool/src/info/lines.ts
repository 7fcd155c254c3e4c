/**
 * What `imgtool info` prints for people.
 * @module
 */
import { basename } from "node:path";
import type { ChunkSizes, DigestAlgorithm } from "@imgtool/chunker";
import { formatSize } from "@imgtool/core";
import type { IndexDescription, StoreDescription, TreeDescription } from "@imgtool/sync";

export interface IndexRow extends IndexDescription {
  readonly index: string;
  /** Bytes of its chunks in the store; undefined where the store is elsewhere. */
  readonly storedBytes: number | undefined;
  readonly chunkSizes: ChunkSizes;
  readonly digest: DigestAlgorithm;
}

export interface TreeRow extends TreeDescription {
  readonly source: string;
}

export interface StoreRow extends StoreDescription {
  readonly store: string;
  /** Whether indexes were named whose chunks are told from others. */
  readonly hasIndexes: boolean;
}

/** @param all of the indexes together */
export function indexLines(
  rows: readonly IndexRow[],
  all: { readonly uniqueChunks: number; readonly uniqueBytes: number },
): string[] {
  const lines = rows.flatMap((row) => [
    `${basename(row.index)}: ${formatSize(row.size)} in ${chunks(row.chunks)}, ${row.uniqueChunks} of them different (${formatSize(row.uniqueBytes)})`,
    `  chunk sizes ${row.chunkSizes.min}:${row.chunkSizes.avg}:${row.chunkSizes.max}, ids by ${row.digest}` +
      (row.storedBytes === undefined
        ? ""
        : `, ${formatSize(row.storedBytes)} in the store${share(row.storedBytes, row.uniqueBytes)}`),
    ...(rows.length > 1 ? [`  only here: ${formatSize(row.ownBytes)}`] : []),
  ]);
  if (rows.length > 1) lines.push(`together: ${all.uniqueChunks} different chunks, ${formatSize(all.uniqueBytes)}`);
  return lines;
}

const plurals: Readonly<Record<string, string>> = { directory: "directories" };

export function treeLines(row: TreeRow): string[] {
  const kinds = Object.entries(row.nodes).map(
    ([kind, count]) => `${count} ${count === 1 ? kind : (plurals[kind] ?? `${kind}s`)}`,
  );
  const archive = row.archiveBytes === undefined ? "" : `, in an archive of ${formatSize(row.archiveBytes)}`;
  return [
    `${basename(row.source)}: ${kinds.join(", ")}; ${formatSize(row.contentBytes)} in files${archive}`,
    `  metadata: ${row.features.join(",") || "none"}; digests by ${row.digest}`,
  ];
}

export function storeLines(row: StoreRow): string[] {
  const plain = row.chunks - row.compressed;
  const forms = [
    ...(row.compressed > 0 ? [`${row.compressed} compressed${row.codecs.map((codec) => `, ${codec}`).join("")}`] : []),
    ...(plain > 0 ? [`${plain} plain`] : []),
  ];
  const others = row.chunks - row.named;
  return [
    `${row.store}: ${chunks(row.chunks)}, ${formatSize(row.bytes)}${forms.length === 0 ? "" : ` (${forms.join("; ")})`}`,
    ...(row.hasIndexes
      ? [
          `  named by the indexes: ${chunks(row.named)}, ${formatSize(row.namedBytes)} for ${formatSize(row.namedPlainBytes)}${share(row.namedBytes, row.namedPlainBytes)}; ${row.missing} missing`,
          `  named by none of them: ${chunks(others)}, ${formatSize(row.bytes - row.namedBytes)}`,
        ]
      : []),
    ...(row.unfinished > 0 ? [`  unfinished files: ${row.unfinished}`] : []),
    ...(row.strays > 0 ? [`  what does not belong there: ${row.strays}`] : []),
  ];
}

function chunks(count: number): string {
  return count === 1 ? "1 chunk" : `${count} chunks`;
}

/** How much is left of the plain length. */
function share(stored: number, plain: number): string {
  return plain === 0 ? "" : ` (${Math.round((100 * stored) / plain)} %)`;
}
