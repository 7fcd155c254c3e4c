/**
 * Removes the chunks of a store that no index names, as `casync gc` does, and beside running writers:
 * what was written or used within the grace period stays, because its index may be yet to come.
 * @module
 */
import { ConfigError, fromHex, type Progress, silentProgress } from "@imgtool/core";
import { type ChunkIndex, IdTable } from "@imgtool/chunker";
import { type PruneStore, refreshAge, type StoreEntry } from "@imgtool/store";

/** Default of `gracePeriod`, in milliseconds: a day. */
export const defaultGracePeriod: number = 24 * refreshAge;

export interface CollectGarbageOptions {
  /** Every index whose chunks are to stay. */
  readonly indexes: readonly ChunkIndex[];
  readonly store: PruneStore;
  /**
   * What was used within so many milliseconds stays. A writer marks what it finds at most an hour late
   * (refreshAge), so this has to be an hour longer than a run from its first chunk to its index; 0 is for
   * stores that nothing writes to. Default: a day.
   */
  readonly gracePeriod?: number;
  /** Only count what would be removed. Default false. */
  readonly dryRun?: boolean;
  /** Called for everything that is, or would be, removed. */
  readonly onRemove?: (entry: StoreEntry) => void;
  /** Called for what does not belong into a store, and stays. */
  readonly onStray?: (entry: Extract<StoreEntry, { kind: "stray" }>) => void;
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
}

export interface CollectedGarbage {
  /** Different chunks that the indexes name. */
  readonly named: number;
  /** Chunk files removed, and their bytes in the store. */
  readonly removed: number;
  readonly removedBytes: number;
  /** Chunk files that stay, and their bytes. */
  readonly kept: number;
  readonly keptBytes: number;
  /** Of those, what no index names but was used within the grace period. */
  readonly recent: number;
  readonly recentBytes: number;
  /** Files that dead writers have left, which were removed. */
  readonly unfinished: number;
  /** What does not belong into a store. */
  readonly strays: number;
}

/**
 * Removes what no index names. Stopped at any moment, it leaves a valid store.
 * @throws ConfigError `gc-without-index`; `gc-foreign-store` when the store holds none of the chunks that
 *   the indexes name; what the store throws; AbortedError
 * @example await collectGarbage({ indexes: [await readIndexFile("1.caibx")], store: await openLocalStore("s.castr") })
 */
export async function collectGarbage(options: CollectGarbageOptions): Promise<CollectedGarbage> {
  const {
    indexes,
    store,
    gracePeriod = defaultGracePeriod,
    dryRun = false,
    progress = silentProgress,
    signal,
  } = options;
  // Before anything is looked at: what is used from now on is never removed.
  const unusedSince = Date.now() - gracePeriod;
  const named = namedChunks(indexes, store);
  await checkBelongs(indexes, store, signal);
  const count = {
    named: named.count,
    removed: 0,
    removedBytes: 0,
    kept: 0,
    keptBytes: 0,
    recent: 0,
    recentBytes: 0,
    unfinished: 0,
    strays: 0,
  };
  using task = progress.start({ label: dryRun ? "look for unused chunks" : "remove unused chunks" });
  for await (const entry of store.list(signal)) {
    if (entry.kind === "stray") {
      count.strays++;
      options.onStray?.(entry);
      continue;
    }
    task.advance(1);
    const isNamed = entry.kind !== "unfinished" && named.find(fromHex(entry.name)) >= 0;
    const isRemoved = isNamed ? await putBack(store, entry, dryRun) : await remove(store, entry, unusedSince, dryRun);
    if (isRemoved) options.onRemove?.(entry);
    if (entry.kind === "unfinished") {
      if (isRemoved) count.unfinished++;
    } else if (isRemoved) {
      count.removed++;
      count.removedBytes += entry.bytes;
    } else {
      count.kept++;
      count.keptBytes += entry.bytes;
      if (!isNamed) {
        count.recent++;
        count.recentBytes += entry.bytes;
      }
    }
  }
  task.done(`${count.removed} chunks ${dryRun ? "would be removed" : "removed"}, ${count.kept} kept`);
  return count;
}

/** The chunks that the indexes name, by the names that the store lists them with. */
function namedChunks(indexes: readonly ChunkIndex[], store: PruneStore): IdTable {
  if (indexes.length === 0) {
    throw new ConfigError("without an index every chunk would be removed", {
      code: "gc-without-index",
      hint: "name every index whose chunks are to stay; to remove all of them, remove the store's directory",
    });
  }
  const named = new IdTable(indexes.reduce((sum, index) => sum + index.count, 0));
  for (const index of indexes) {
    for (let i = 0; i < index.count; i++) {
      const listed = store.listedName?.(index.name(i));
      named.add(listed === undefined ? index.id(i) : fromHex(listed));
    }
  }
  return named;
}

/**
 * A store that has no chunk of any index is another store than the one that was meant. The first chunk
 * that is found ends the search.
 */
async function checkBelongs(indexes: readonly ChunkIndex[], store: PruneStore, signal?: AbortSignal): Promise<void> {
  for (const index of indexes) {
    for (let i = 0; i < index.count; i++) if (await store.has(index.name(i), signal)) return;
  }
  throw new ConfigError(`the store ${store.location} holds none of the chunks that the indexes name`, {
    code: "gc-foreign-store",
    hint: "check --store; nothing was removed",
    data: { store: store.location },
  });
}

type Removable = Exclude<StoreEntry, { kind: "stray" }>;

async function remove(store: PruneStore, entry: Removable, unusedSince: number, dryRun: boolean): Promise<boolean> {
  return dryRun ? entry.lastUsed < unusedSince : store.remove(entry, unusedSince);
}

/** Undoes a removal that was cut short: a named chunk counts as used at any time. */
async function putBack(store: PruneStore, entry: Removable, dryRun: boolean): Promise<false> {
  if (entry.kind === "leaving" && !dryRun) await store.remove(entry, -Infinity);
  return false;
}
