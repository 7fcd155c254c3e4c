/**
 * One neighbour: what it is asked for at once, and how long it may take.
 * @module
 */
import { abortedError, throwIfAborted } from "@imgtool/core";
import { openHttpStore } from "../http.ts";
import { maxStoredBytes } from "../limits.ts";
import type { ChunkName, ReadStore, StoredChunk } from "../store.ts";
import type { PeerAddress } from "./find-peers.ts";
import { peerStorePath } from "./service.ts";

/** Requests under way at a peer, at first and at most: as many chunks as are read ahead. */
const mostRequests = 64;
/** A timer that is so late was kept waiting by this process, not by the peer: milliseconds. */
const ownDelay = 100;

/** A request that took too long, of a peer that has answered others meanwhile. */
export class SlowPeer extends Error {}

export class Peer {
  readonly address: PeerAddress;
  /** Chunks that it has sent that were whole, and those in a row that it lacked. */
  chunks = 0;
  misses = 0;
  readonly #store: ReadStore;
  readonly #patience: number;
  readonly #dropped = new AbortController();
  #underWay = 0;
  #limit = mostRequests;
  #lastAnswer = 0;

  /** @param patience milliseconds for a chunk, and as many more for each mebibyte of it */
  constructor(address: PeerAddress, patience: number) {
    this.address = address;
    this.#patience = patience;
    // No credentials, no proxy, no redirection: a chunk's name goes to the peer and nowhere else.
    this.#store = openHttpStore(`http://${address.address}:${address.port}/${peerStorePath}`, {
      concurrency: mostRequests,
      retries: 0,
      redirects: 0,
      proxy: false,
      connectTimeout: patience,
    });
  }

  get isDropped(): boolean {
    return this.#dropped.signal.aborted;
  }

  get underWay(): number {
    return this.#underWay;
  }

  /** Whether it has as many requests as it can answer in time. */
  get isBusy(): boolean {
    return this.#underWay >= this.#limit;
  }

  /**
   * What it has under the name, unverified.
   * @throws SlowPeer when it took too long but has answered another request meanwhile; Error when it has not;
   *   what openHttpStore()'s get() throws
   */
  async get(
    name: ChunkName,
    signal?: AbortSignal,
    maxBytes: number = maxStoredBytes(),
  ): Promise<StoredChunk | undefined> {
    using request = new TimedRequest(this.#patience * (1 + maxBytes / 1024 ** 2), [this.#dropped.signal, signal]);
    this.#underWay++;
    try {
      const chunk = await this.#store.get(name, request.signal, maxBytes);
      this.#lastAnswer = performance.now();
      this.misses = chunk === undefined ? this.misses + 1 : 0;
      this.#limit = Math.min(this.#limit + 1, mostRequests);
      return chunk;
    } catch (error) {
      if (!request.isOverdue) throw error;
      this.#limit = Math.max(1, this.#limit >> 1);
      const message = `it took longer than ${Math.ceil(request.milliseconds)} ms for a chunk`;
      if (this.#lastAnswer > request.started) throw new SlowPeer(message, { cause: error });
      throw new Error(message, { cause: error });
    } finally {
      this.#underWay--;
    }
  }

  /** Ends what is under way. */
  drop(): void {
    this.#dropped.abort();
    void this.#store.close();
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}

/**
 * A signal that fires when one of others does, or when the time is over that a request may take. When this
 * process itself was kept from running, what has come meanwhile is taken in first.
 */
class TimedRequest implements Disposable {
  readonly milliseconds: number;
  readonly started: number = performance.now();
  readonly #controller = new AbortController();
  readonly #signals: readonly AbortSignal[];
  readonly #onAbort: () => void;
  #timer: NodeJS.Timeout;
  #isOverdue = false;

  constructor(milliseconds: number, signals: readonly (AbortSignal | undefined)[]) {
    this.milliseconds = milliseconds;
    this.#signals = signals.filter((signal) => signal !== undefined);
    this.#onAbort = () => {
      const fired = this.#signals.find(({ aborted }) => aborted);
      if (fired !== undefined) this.#controller.abort(abortedError(fired));
    };
    for (const signal of this.#signals) throwIfAborted(signal);
    for (const signal of this.#signals) signal.addEventListener("abort", this.#onAbort, { once: true });
    this.#timer = this.#start(milliseconds);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get isOverdue(): boolean {
    return this.#isOverdue;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    for (const signal of this.#signals) signal.removeEventListener("abort", this.#onAbort);
  }

  #start(milliseconds: number): NodeJS.Timeout {
    const due = performance.now() + milliseconds;
    return setTimeout(() => {
      if (performance.now() > due + ownDelay) {
        this.#timer = this.#start(milliseconds);
        return;
      }
      this.#isOverdue = true;
      this.#controller.abort();
    }, milliseconds);
  }
}
