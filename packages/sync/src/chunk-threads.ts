/**
 * Chunks of an index in any order, decompressed and verified by threads: what reads an image at any place
 * has them read ahead by these.
 * @module
 */
import { availableParallelism } from "node:os";
import { maxStoredBytes } from "@imgtool/store/blocking";
import type { ChunkSource } from "./chunk-source.ts";
import { ReadCrew } from "./read-crew.ts";
import { allocateReadRing, orderStaged, orderStored, stateWaiting, stateWhole } from "./read-ring.ts";

/** Memory that is shared with the threads, and chunks in it at most. */
const [ringSize, mostSlots] = [16 * 1024 ** 2, 64];

export class ChunkThreads implements AsyncDisposable {
  readonly #source: ChunkSource;
  readonly #signal: AbortSignal | undefined;
  readonly #crew: ReadCrew;
  readonly #slots: number;
  readonly #free: number[];
  readonly #waiting: (() => void)[] = [];
  /** Slots in use, the longest first: the number of the order, and who waits for it. */
  readonly #inUse = new Map<number, { readonly order: number; tell?: (() => void) | undefined }>();
  #orders = 0;
  #isWatching = false;
  #isBroken = false;

  constructor(source: ChunkSource, signal?: AbortSignal) {
    this.#source = source;
    this.#signal = signal;
    const { index, localStore } = source;
    const largest = index.sizes.max;
    const staged = localStore === undefined ? maxStoredBytes(largest) : 0;
    const slots = Math.max(1, Math.min(mostSlots, Math.floor(ringSize / (largest + staged))));
    const memory = allocateReadRing(slots, largest, staged);
    const workers = availableParallelism();
    this.#crew = new ReadCrew({ memory, digest: index.digest, store: localStore, workers, isIdle: true }, signal);
    this.#crew.ring.wantAny();
    this.#slots = slots;
    this.#free = Array.from({ length: slots }, (_, slot) => slot);
  }

  /** Whether threads help with this source: seeds are read by the main thread, and large chunks take too much memory. */
  static canHelp({ index, seeds }: ChunkSource): boolean {
    return seeds.length === 0 && 4 * index.sizes.max <= ringSize;
  }

  /** The plain bytes of chunk i, in memory of its own. @throws as ChunkSource.get() */
  async get(i: number): Promise<Uint8Array> {
    const bytes = this.#isBroken ? undefined : await this.#open(i);
    // One that cannot be had this way is looked for in the other stores, or told.
    return bytes ?? this.#source.get(i, this.#signal);
  }

  async #open(i: number): Promise<Uint8Array | undefined> {
    const source = this.#source;
    const { ring } = this.#crew;
    const isLocal = source.localStore !== undefined;
    const stored = isLocal ? undefined : await source.fetchStored(i, this.#signal).catch(() => undefined);
    if (!isLocal && stored === undefined) return undefined;
    const slot = await this.#enter();
    try {
      ring.prepare(slot, source.index.size(i), source.index.id(i));
      if (stored !== undefined && !ring.stage(slot, stored.bytes, stored.compressed)) return undefined;
      ring.give(slot, stored === undefined ? orderStored : orderStaged);
      await this.#done(slot);
      if (ring.state(slot) !== stateWhole) return undefined;
      source.addFromStores(1, isLocal ? ring.storedBytes(slot) : 0);
      // The slot is another chunk's next.
      const bytes = Buffer.allocUnsafeSlow(source.index.size(i));
      bytes.set(ring.chunk(slot));
      return bytes;
    } finally {
      this.#inUse.delete(slot);
      this.#free.push(slot);
      for (const lookAgain of this.#waiting.splice(0)) lookAgain();
    }
  }

  /**
   * A slot that is free. A thread that the scheduler has stopped between taking an order and reading it must
   * find it there, however many the others have carried out meanwhile: no more are given then than the queue holds.
   */
  async #enter(): Promise<number> {
    for (;;) {
      const [oldest] = this.#inUse.values();
      const isFull = oldest !== undefined && this.#orders - oldest.order >= this.#slots;
      const slot = isFull ? undefined : this.#free.pop();
      if (slot !== undefined) {
        this.#inUse.set(slot, { order: this.#orders++ });
        return slot;
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  async #done(slot: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const use = this.#inUse.get(slot);
      if (use !== undefined) use.tell = resolve;
      if (!this.#isWatching) void this.#watch();
    });
  }

  /** Tells who waits, as long as somebody does. Where a thread has failed, all are told and none goes on. */
  async #watch(): Promise<void> {
    const { ring } = this.#crew;
    this.#isWatching = true;
    for (;;) {
      const seen = ring.changes;
      try {
        this.#crew.check();
      } catch {
        this.#isBroken = true;
      }
      const isOver = this.#isBroken || this.#signal?.aborted === true;
      let waiting = 0;
      for (const [slot, use] of this.#inUse) {
        if (use.tell === undefined) continue;
        if (isOver || ring.state(slot) !== stateWaiting) {
          use.tell();
          use.tell = undefined;
        } else waiting++;
      }
      if (waiting === 0) break;
      await ring.changed(seen);
    }
    this.#isWatching = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isBroken = true;
    this.#crew.ring.wake();
    await this.#crew[Symbol.asyncDispose]();
  }
}
