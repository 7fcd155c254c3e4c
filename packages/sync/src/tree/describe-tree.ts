/**
 * What a tree consists of, without reading the contents of its files.
 * @module
 */
import { type CatarNode, defaultArchiveFlags, type FeatureName, featureNames, type NodeKind } from "@imgtool/catar";
import { type DigestAlgorithm, digestOfFlags } from "@imgtool/chunker";
import { skimNodes, seekableReader } from "./skim.ts";
import type { TreeSource } from "./tree-source.ts";
import { walkNodes } from "./walk-nodes.ts";

export interface TreeDescription {
  /** How many nodes of each kind it has; the root is one of the directories. */
  readonly nodes: Readonly<Partial<Record<NodeKind, number>>>;
  /** Length of all files together in bytes, holes included. */
  readonly contentBytes: number;
  /** Length of the archive in bytes; undefined for a directory and a stream. */
  readonly archiveBytes?: number;
  /** What the archive records of the nodes, or would record of a directory. */
  readonly features: readonly FeatureName[];
  readonly digest: DigestAlgorithm;
}

/**
 * Describes a directory, or the archive in a file, a stream or behind an index.
 * @throws as walkNodes() and archiveEvents()
 */
export async function describeTree(source: TreeSource, signal?: AbortSignal): Promise<TreeDescription> {
  const nodes: Partial<Record<NodeKind, number>> = {};
  let contentBytes = 0;
  let flags = "directory" in source ? (source.flags ?? defaultArchiveFlags) : 0n;
  for await (const { content } of nodesOf(source, (found) => (flags = found), signal)) {
    nodes[content.kind] = (nodes[content.kind] ?? 0) + 1;
    if (content.kind === "file") contentBytes += content.size;
  }
  const archiveBytes = await archiveSize(source, signal);
  return {
    nodes,
    contentBytes,
    ...(archiveBytes === undefined ? {} : { archiveBytes }),
    features: featureNames(flags),
    digest: digestOfFlags(flags),
  };
}

async function* nodesOf(
  source: TreeSource,
  onFlags: (flags: bigint) => void,
  signal: AbortSignal | undefined,
): AsyncGenerator<CatarNode, void> {
  if ("directory" in source) {
    const { directory, flags = defaultArchiveFlags, idShift } = source;
    for (const walked of walkNodes(directory, flags, { idShift, plain: true, signal }))
      if (walked.type === "entry") yield walked.node;
    return;
  }
  for await (const events of skimNodes(source, signal, onFlags)) for (const { node } of events) yield node;
}

async function archiveSize(source: TreeSource, signal: AbortSignal | undefined): Promise<number | undefined> {
  if ("directory" in source) return undefined;
  if ("subtree" in source) return source.subtree.size;
  await using reader = await seekableReader(source, signal);
  return reader?.size;
}
