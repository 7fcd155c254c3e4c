/**
 * What `imgtool info` finds out of each location.
 * @module
 */
import type { ChunkIndex } from "@imgtool/chunker";
import { shownLocation, StoreCipher } from "@imgtool/store";
import { type NetworkOptions, storeKey, type StoreOptions } from "../chunk-options.ts";
import { openListed } from "../open-listed.ts";
import { openIndexAlone, openTree } from "../open-source.ts";
import { directoryFlags } from "../tree-options.ts";
import type { VerbContext } from "../verb.ts";
import type { IndexRow, StoreRow, TreeRow } from "./lines.ts";

export interface InfoTask extends VerbContext {
  readonly options: StoreOptions & NetworkOptions;
}

export interface IndexRows {
  readonly rows: readonly IndexRow[];
  readonly opened: readonly ChunkIndex[];
  /** Different chunks of all together, and their plain length in bytes. */
  readonly uniqueChunks: number;
  readonly uniqueBytes: number;
}

export async function indexRows(locations: readonly string[], task: InfoTask): Promise<IndexRows> {
  const { describeIndexes, updateCost } = await import("@imgtool/sync");
  const { options, reporter, signal } = task;
  const indexes: ChunkIndex[] = [];
  const stored: (number | undefined)[] = [];
  for (const location of locations) {
    await using opened = await openIndexAlone(location, options, reporter, signal);
    indexes.push(opened.index);
    // A remote store would have to hand every chunk out to be measured.
    const store = opened.stores[0]?.place;
    const cost = store === undefined ? undefined : await updateCost(undefined, opened.index, store, signal);
    stored.push(cost?.storedBytes);
  }
  const { indexes: described, ...all } = describeIndexes(indexes);
  const rows = described.map((one, i) => {
    const { sizes, digest } = indexes[i] as (typeof indexes)[number];
    return { index: shownLocation(locations[i] ?? ""), ...one, storedBytes: stored[i], chunkSizes: sizes, digest };
  });
  return { rows, opened: indexes, ...all };
}

/** Of a directory or an archive. */
export async function treeRow(location: string, what: "archive" | "directory", task: InfoTask): Promise<TreeRow> {
  const { describeTree } = await import("@imgtool/sync");
  const { options, reporter, signal } = task;
  const flags = await directoryFlags({});
  await using opened = await openTree(location, { ...options, flags, what, parts: true }, reporter, signal);
  return { source: shownLocation(location), ...(await describeTree(opened.source, signal)) };
}

export async function storeRow(location: string, indexes: readonly ChunkIndex[], task: InfoTask): Promise<StoreRow> {
  const { describeStore } = await import("@imgtool/sync");
  const { options, reporter, signal } = task;
  const key = storeKey(options, [location]);
  const store = await openListed(location, options, "name an index and the store: imgtool info --store=URL INDEX");
  try {
    const cipher = key === undefined ? undefined : new StoreCipher(key);
    const description = await describeStore(store, {
      indexes,
      progress: reporter,
      signal,
      ...(cipher === undefined ? {} : { listedName: (name) => cipher.storedName(name) }),
    });
    return { store: store.location, hasIndexes: indexes.length > 0, ...description };
  } finally {
    await store.close();
  }
}
