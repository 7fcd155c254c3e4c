/**
 * `--peers`: the stores of an index with the neighbours that have it.
 * @module
 */
import type { ChunkIndex } from "@imgtool/chunker";
import type { Progress } from "@imgtool/core";
import { peerCheck, type PeerFinder, PeerStore, type ReadStore, type StoreKey } from "@imgtool/store";

export interface NeighbourOptions {
  readonly index: ChunkIndex;
  readonly key: StoreKey | undefined;
  readonly progress: Progress;
}

export interface Neighbours {
  /** With the neighbours behind stores on this machine and before all others. */
  readonly stores: readonly ReadStore[];
  /** Chunks that came from them. */
  chunks(): number;
  /** Ends their connections, and says what they were good for; the other stores stay open. */
  close(): Promise<void>;
}

/** Puts neighbours into the order of the stores. */
export function withNeighbours(
  peers: PeerFinder,
  stores: readonly ReadStore[],
  { index, key, progress }: NeighbourOptions,
): Neighbours {
  const local = stores.findIndex(({ place }) => place === undefined);
  const position = local < 0 ? stores.length : local;
  const store = new PeerStore({
    peers,
    next: stores[position],
    check: peerCheck({ digest: index.digest, largest: index.sizes.max, key }),
    onDropped: ({ address, port }, reason) =>
      progress.log("debug", `the neighbour ${address}:${port} is not asked any more: ${reason}`),
  });
  return {
    stores: [...stores.slice(0, position), store, ...stores.slice(position + 1)],
    chunks: () => store.peerStatistics.chunks,
    async close() {
      const { chunks, peers: count, dropped } = store.peerStatistics;
      if (count + dropped > 0)
        progress.log(
          "info",
          `${chunks} chunks from ${count} neighbours${dropped > 0 ? `; ${dropped} of the neighbours found were of no use` : ""}`,
        );
      await store.closePeers();
    },
  };
}
