/**
 * Neighbours before a store: chunks of an index are asked of peers in the local network first, and of the
 * store itself when no peer has them.
 *
 * A peer is not trusted: it is sent nothing but a chunk's name, and what it answers is checked before it is
 * handed on. One that answers with something else or not at all is not asked again; one that is slow is asked
 * for less.
 * @module
 */
import { errorMessage, throwIfAborted } from "@imgtool/core";
import type { ChunkName, LocalStorePlace, ReadStore, StoredChunk } from "../store.ts";
import type { PeerAddress } from "./find-peers.ts";
import { Peer, SlowPeer } from "./peer.ts";

/** What finds peers: PeerFinder. */
export interface PeerSource {
  readonly peers: readonly PeerAddress[];
  readonly isAnswered: boolean;
  answered(): Promise<void>;
}

export interface PeerStoreOptions {
  readonly peers: PeerSource;
  /** Asked for what no peer has. None: there are peers only. */
  readonly next?: ReadStore | undefined;
  /** Throws unless the bytes are those of the chunk with this name. */
  readonly check: (name: ChunkName, chunk: StoredChunk) => void;
  /** Milliseconds that a peer gets for a chunk, and as many more for each mebibyte of it. Default 1000. */
  readonly patience?: number;
  /** Called when a peer is not asked any more, with the reason. */
  readonly onDropped?: (peer: PeerAddress, reason: string) => void;
}

export interface PeerStatistics {
  /** Chunks that came from peers, and their bytes. */
  chunks: number;
  bytes: number;
  /** Peers that have sent chunks, and peers that are not asked any more. */
  peers: number;
  dropped: number;
}

/** A peer that lacks so many chunks in a row has lost what it announces. */
const missesInARow = 16;

/** A store that asks peers first. Closing it closes the next one; the source of peers stays. */
export class PeerStore implements ReadStore {
  readonly location: string;
  /** It is not one that threads read for themselves. */
  readonly place: LocalStorePlace | undefined = undefined;
  readonly peerStatistics: PeerStatistics = { chunks: 0, bytes: 0, peers: 0, dropped: 0 };
  readonly #options: PeerStoreOptions;
  readonly #peers = new Map<string, Peer>();

  constructor(options: PeerStoreOptions) {
    this.#options = options;
    this.location = options.next?.location ?? "neighbours";
  }

  get statistics(): unknown {
    const { next } = this.#options;
    return next !== undefined && "statistics" in next ? next.statistics : undefined;
  }

  /** Peers are not asked: whoever asks wants to know what the store itself has. */
  async has(name: ChunkName, signal?: AbortSignal): Promise<boolean> {
    throwIfAborted(signal);
    return (await this.#options.next?.has(name, signal)) ?? false;
  }

  async get(name: ChunkName, signal?: AbortSignal, maxBytes?: number): Promise<StoredChunk | undefined> {
    throwIfAborted(signal);
    const { peers, next } = this.#options;
    const isEarly = !peers.isAnswered;
    const asked = new Set<Peer>();
    const found = await this.#ask(name, asked, signal, maxBytes);
    if (found !== undefined) return found;
    return isEarly ? this.#race(name, asked, signal, maxBytes) : next?.get(name, signal, maxBytes);
  }

  /** Ends the connections to peers alone. */
  async closePeers(): Promise<void> {
    for (const peer of this.#peers.values()) await peer.close();
  }

  async close(): Promise<void> {
    await this.closePeers();
    await this.#options.next?.close();
  }

  /**
   * As long as peers may still answer, nobody waits for them: the store is asked. When it has not answered by
   * the time that they have, they are asked as well, and the first to have the chunk is taken.
   */
  async #race(
    name: ChunkName,
    asked: Set<Peer>,
    signal: AbortSignal | undefined,
    maxBytes: number | undefined,
  ): Promise<StoredChunk | undefined> {
    const { peers, next } = this.#options;
    const controller = new AbortController();
    const onAbort = (): void => controller.abort(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    const near = async (): Promise<StoredChunk | undefined> => {
      await peers.answered();
      return controller.signal.aborted ? undefined : this.#ask(name, asked, controller.signal, maxBytes);
    };
    try {
      return await firstFound([next?.get(name, controller.signal, maxBytes) ?? Promise.resolve(undefined), near()]);
    } finally {
      signal?.removeEventListener("abort", onAbort);
      controller.abort();
    }
  }

  /** The chunk from the peer that has the least to do, or the next one. */
  async #ask(
    name: ChunkName,
    asked: Set<Peer>,
    signal: AbortSignal | undefined,
    maxBytes: number | undefined,
  ): Promise<StoredChunk | undefined> {
    for (let peer = this.#choose(asked); peer !== undefined; peer = this.#choose(asked)) {
      asked.add(peer);
      try {
        const chunk = await peer.get(name, signal, maxBytes);
        if (chunk === undefined) {
          if (peer.misses >= missesInARow) this.#drop(peer, `it lacked ${missesInARow} chunks in a row`);
          continue;
        }
        this.#options.check(name, chunk);
        if (peer.chunks++ === 0) this.peerStatistics.peers++;
        this.peerStatistics.chunks++;
        this.peerStatistics.bytes += chunk.bytes.length;
        return chunk;
      } catch (error) {
        throwIfAborted(signal);
        if (!(error instanceof SlowPeer)) this.#drop(peer, errorMessage(error));
      }
    }
    return undefined;
  }

  #choose(asked: ReadonlySet<Peer>): Peer | undefined {
    for (const address of this.#options.peers.peers) {
      const key = `${address.address}:${address.port}`;
      if (!this.#peers.has(key)) this.#peers.set(key, new Peer(address, this.#options.patience ?? 1000));
    }
    let best: Peer | undefined;
    for (const peer of this.#peers.values()) {
      if (peer.isDropped || peer.isBusy || asked.has(peer)) continue;
      if (best === undefined || peer.underWay < best.underWay) best = peer;
    }
    return best;
  }

  #drop(peer: Peer, reason: string): void {
    if (peer.isDropped) return;
    peer.drop();
    this.peerStatistics.dropped++;
    this.#options.onDropped?.(peer.address, reason);
  }
}

/** The first answer that is there; when none is, the first error or undefined. */
async function firstFound<T>(answers: readonly Promise<T | undefined>[]): Promise<T | undefined> {
  const found = Promise.withResolvers<T | undefined>();
  const settled = Promise.allSettled(
    answers.map(async (answer) => {
      const value = await answer;
      if (value !== undefined) found.resolve(value);
    }),
  );
  const none = async (): Promise<T | undefined> => {
    const failure = (await settled).find((result) => result.status === "rejected");
    if (failure === undefined) return undefined;
    throw failure.reason;
  };
  return Promise.race([found.promise, none()]);
}
