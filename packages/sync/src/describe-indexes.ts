/**
 * What indexes consist of, and what several of them have in common.
 * @module
 */
import { type ChunkIndex, IdTable } from "@imgtool/chunker";

export interface IndexDescription {
  /** Bytes of what the index describes. */
  readonly size: number;
  readonly chunks: number;
  /** Different chunks, and their plain length in bytes. */
  readonly uniqueChunks: number;
  readonly uniqueBytes: number;
  /** Plain bytes of the different chunks that no other of the indexes has. */
  readonly ownBytes: number;
}

export interface IndexesDescription {
  /** In the order of the indexes. */
  readonly indexes: readonly IndexDescription[];
  /** Different chunks of all together, and their plain length: what a store of them holds. */
  readonly uniqueChunks: number;
  readonly uniqueBytes: number;
}

/** Describes indexes; those with different digests have no chunk in common. */
export function describeIndexes(indexes: readonly ChunkIndex[]): IndexesDescription {
  // Ids of different digests cannot be compared.
  const tables = new Map<string, { readonly ids: IdTable; readonly sizes: number[]; readonly users: number[] }>();
  const tableOf = (
    index: ChunkIndex,
  ): { readonly ids: IdTable; readonly sizes: number[]; readonly users: number[] } => {
    const known = tables.get(index.digest) ?? { ids: new IdTable(index.count), sizes: [], users: [] };
    tables.set(index.digest, known);
    return known;
  };
  const own = indexes.map((index) => {
    const { ids, sizes, users } = tableOf(index);
    const positions = new Set<number>();
    for (let i = 0; i < index.count; i++) {
      const position = ids.add(index.id(i));
      sizes[position] = index.size(i);
      if (positions.has(position)) continue;
      positions.add(position);
      users[position] = (users[position] ?? 0) + 1;
    }
    return positions;
  });
  const described = indexes.map((index, k): IndexDescription => {
    const { sizes, users } = tableOf(index);
    let [uniqueBytes, ownBytes] = [0, 0];
    for (const position of own[k] ?? []) {
      const size = sizes[position] ?? 0;
      uniqueBytes += size;
      if (users[position] === 1) ownBytes += size;
    }
    return {
      size: index.totalSize,
      chunks: index.count,
      uniqueChunks: own[k]?.size ?? 0,
      uniqueBytes,
      ownBytes,
    };
  });
  const all = [...tables.values()];
  return {
    indexes: described,
    uniqueChunks: all.reduce((sum, { ids }) => sum + ids.count, 0),
    uniqueBytes: all.reduce((sum, { sizes }) => sum + sizes.reduce((bytes, size) => bytes + size, 0), 0),
  };
}
