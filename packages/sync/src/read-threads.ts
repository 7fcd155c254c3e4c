/**
 * Chunks of an index in order, read ahead with threads: from stores and from seeds.
 * @module
 */
import { throwIfAborted } from "@imgtool/core";
import { maxStoredBytes } from "@imgtool/store/blocking";
import { Breather } from "./breathe.ts";
import type { PlacerOptions } from "./chunk-placer.ts";
import type { ChunkSource } from "./chunk-source.ts";
import { ReadCrew } from "./read-crew.ts";
import {
  allocateReadRing,
  orderRange,
  orderStaged,
  orderStored,
  orderVerify,
  type ReadRing,
  stateFailed,
  stateWhole,
} from "./read-ring.ts";

/** Memory for chunks that are read ahead. */
const ringSize: number = 32 * 1024 ** 2;

/** Slots for chunks of a store elsewhere: twice the requests that it gets at once. */
const remoteSlots = 64;

/**
 * Orders that this thread leaves to the others while it fetches. Without, it did 70 % of the digests itself,
 * and answers waited meanwhile.
 */
const spareOrders = 8;

export interface ReadThreadsOptions {
  /** Positions of the wanted chunks in the index, in the order in which they are wanted. */
  readonly chunks: WantedChunks;
  /** Chunks under way at once of a store elsewhere. Default 64. */
  readonly requests?: number | undefined;
  /** A file that the threads write each chunk to, before it is yielded; not what this thread has to read itself. */
  readonly target?: ReadTarget | undefined;
  /** Threads besides this one. Default: one per processor but one. */
  readonly workers?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface WantedChunks {
  readonly count: number;
  readonly at: (position: number) => number;
}

interface ReadTarget extends PlacerOptions {
  /** Position among the plan's `firsts` of the wanted chunk k. */
  readonly positionOf: (k: number) => number;
}

/** How a chunk was ordered: from a store, from a seed, or by this thread. */
type Ordered = "stored" | "seed" | Promise<Uint8Array>;

/** Below this, starting threads takes longer than reading; and slots of larger chunks take too much memory. */
const [shortStream, largestSlot] = [4 * 1024 ** 2, 8 * 1024 ** 2];

/** Whether threads read these chunks faster, within a bounded memory. */
export function worthThreads({ index }: ChunkSource, { count, at }: WantedChunks): boolean {
  let [bytes, largest] = [0, 0];
  for (let k = 0; k < count; k++) {
    const size = index.size(at(k));
    bytes += size;
    largest = Math.max(largest, size);
  }
  return bytes >= shortStream && largest <= largestSlot;
}

/**
 * Yields the verified bytes of each chunk: views that hold until the next step. The threads read from the
 * first store when it is local; from one elsewhere this thread fetches, and they verify.
 * @throws as ChunkSource.get(); AbortedError
 */
export async function* readWithThreads(
  source: ChunkSource,
  { chunks, requests = remoteSlots, target, workers, signal }: ReadThreadsOptions,
): AsyncGenerator<Uint8Array, void> {
  const { index, localStore } = source;
  const { count, at } = chunks;
  let largest = 1;
  for (let k = 0; k < count; k++) largest = Math.max(largest, index.size(at(k)));
  const largestStaged = localStore === undefined ? maxStoredBytes(largest) : 0;
  const most = localStore === undefined ? requests : 512;
  const slots = Math.max(1, Math.min(most, Math.floor(ringSize / (largest + largestStaged)), count));
  const memory = allocateReadRing(slots, largest, largestStaged);
  const controller = new AbortController();
  const stop = signal === undefined ? controller.signal : AbortSignal.any([signal, controller.signal]);
  const file = target === undefined ? undefined : { plan: target.plan, output: target.output, sparse: target.sparse };
  await using crew = new ReadCrew({ memory, digest: index.digest, store: localStore, target: file, workers }, signal);
  const { ring } = crew;
  const orders = new Orders(source, ring, stop);
  const ahead: (Ordered | undefined)[] = Array.from({ length: slots });
  const breather = new Breather();
  const spare = localStore === undefined ? spareOrders : 0;
  let next = 0;
  try {
    for (let ticket = 0; ticket < count; ticket++) {
      // The slot of the chunk that was yielded last is free again.
      for (; next < count && next - ticket < slots; next++)
        ahead[next % slots] = orders.give(at(next), next, target?.positionOf(next));
      const ordered = ahead[ticket % slots];
      if (typeof ordered === "object") {
        yield await ordered;
        continue;
      }
      while (ring.state(ticket) === 0) {
        crew.check();
        const due = breather.due();
        if (due !== undefined) await due;
        if (!crew.help(spare)) await ring.done(ticket);
        throwIfAborted(signal);
      }
      throwIfAborted(signal);
      crew.check();
      if (ring.state(ticket) === stateWhole) {
        if (ordered === "seed") source.addFromSeeds(1);
        // what is fetched from elsewhere is counted as it comes
        else source.addFromStores(1, localStore === undefined ? 0 : ring.storedBytes(ticket));
        yield ring.chunk(ticket);
      } else {
        yield await source.get(at(ticket), signal);
      }
    }
  } finally {
    controller.abort();
    await orders.settled();
  }
}

/** Gives orders to the threads, and does what is not for them. */
class Orders {
  readonly #source: ChunkSource;
  readonly #ring: ReadRing;
  readonly #signal: AbortSignal;
  readonly #underWay = new Set<Promise<unknown>>();
  #isSignalDue = false;

  constructor(source: ChunkSource, ring: ReadRing, signal: AbortSignal) {
    this.#source = source;
    this.#ring = ring;
    this.#signal = signal;
  }

  give(i: number, ticket: number, position?: number): Ordered {
    const { index } = this.#source;
    const [size, id] = [index.size(i), index.id(i)];
    this.#ring.prepare(ticket, size, id, position);
    const place = this.#source.seedPlace(id, size);
    if (place === "read") return this.#track(this.#source.get(i, this.#signal));
    if (place !== undefined && "descriptor" in place) {
      this.#ring.give(ticket, orderRange, place.descriptor, place.offset);
      return "seed";
    }
    if (place?.fill(this.#ring.chunk(ticket)) === true) {
      this.#ring.give(ticket, orderVerify);
      return "seed";
    }
    if (this.#source.localStore !== undefined) this.#ring.give(ticket, orderStored);
    else void this.#track(this.#fetch(i, ticket));
    return "stored";
  }

  /** Waits for what this thread does itself. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#underWay);
  }

  /** Fetches a chunk; what cannot be had this way is asked for once more, and told, when it is its turn. */
  async #fetch(i: number, ticket: number): Promise<void> {
    const chunk = await this.#source.fetchStored(i, this.#signal, this.#ring.staging(ticket)).catch(() => undefined);
    if (chunk !== undefined && this.#ring.stage(ticket, chunk.bytes, chunk.compressed)) this.#give(ticket);
    else this.#ring.finish(ticket, stateFailed);
  }

  /** Waking a thread takes as long as the work on an answer: it is done once for all that came together. */
  #give(ticket: number): void {
    this.#ring.giveUnsignalled(ticket, orderStaged);
    if (this.#isSignalDue) return;
    this.#isSignalDue = true;
    setImmediate(() => {
      this.#isSignalDue = false;
      this.#ring.signal();
    });
  }

  /** An error is thrown when it is its chunk's turn; until then it is not unhandled. */
  #track<T>(work: Promise<T>): Promise<T> {
    this.#underWay.add(work);
    work
      .catch(() => {})
      .finally(() => this.#underWay.delete(work))
      .catch(() => {});
    return work;
  }
}
