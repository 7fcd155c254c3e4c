/**
 * The chunks of an index in order, read ahead by threads: from a local store and from seeds.
 * @module
 */
import { availableParallelism } from "node:os";
import { throwIfAborted } from "@imgtool/core";
import { Breather } from "./breathe.ts";
import type { ChunkSource } from "./chunk-source.ts";
import { unpackError } from "./packed-error.ts";
import { allocateReadRing, orderRange, orderStored, orderVerify, ReadRing, stateWhole } from "./read-ring.ts";
import { ReadWork, type ReadWorkOptions } from "./read-work.ts";
import type { ReadWorkerMessage } from "./read-worker.ts";
import { startWorker } from "./start-worker.ts";

/** Memory for chunks that are read ahead. */
const ringSize: number = 32 * 1024 ** 2;

export interface ReadThreadsOptions {
  /** First chunk, and the chunk to end before. */
  readonly from: number;
  readonly to: number;
  readonly signal?: AbortSignal | undefined;
}

/** How a chunk was ordered: from the store, from a seed, or by this thread. */
type Ordered = "stored" | "seed" | Promise<Uint8Array>;

/** Below this, starting threads takes longer than reading; and slots of larger chunks take too much memory. */
const [shortStream, largestSlot] = [4 * 1024 ** 2, 8 * 1024 ** 2];

/** Whether threads read these chunks faster, within a bounded memory. */
export function worthThreads({ index }: ChunkSource, from: number, to: number): boolean {
  if (to <= from || index.end(to - 1) - index.start(from) < shortStream) return false;
  for (let i = from; i < to; i++) if (index.size(i) > largestSlot) return false;
  return true;
}

/**
 * Yields the verified bytes of each chunk: views that hold until the next step.
 * @param store directory of the local store that is asked first
 * @throws as ChunkSource.get(); AbortedError
 */
export async function* readWithThreads(
  source: ChunkSource,
  store: string,
  { from, to, signal }: ReadThreadsOptions,
): AsyncGenerator<Uint8Array, void> {
  const { index } = source;
  const largest = largestSize(source, from, to);
  const slots = Math.max(2, Math.min(512, Math.floor(ringSize / largest), to - from));
  const memory = allocateReadRing(slots, largest);
  await using crew = new ReadCrew({ memory, digest: index.digest, store }, signal);
  const { ring } = crew;
  const ahead: (Ordered | undefined)[] = Array.from({ length: slots });
  const controller = new AbortController();
  const stop = signal === undefined ? controller.signal : AbortSignal.any([signal, controller.signal]);
  const breather = new Breather();
  let next = from;
  try {
    for (let i = from; i < to; i++) {
      // The slot of the chunk that was yielded last is free again.
      for (; next < to && next - i < slots; next++)
        ahead[(next - from) % slots] = order(source, ring, next, next - from, stop);
      const ticket = i - from;
      const ordered = ahead[ticket % slots];
      if (typeof ordered === "object") {
        yield await ordered;
        continue;
      }
      while (ring.state(ticket) === 0) {
        crew.check();
        const due = breather.due();
        if (due !== undefined) await due;
        if (!crew.help()) await ring.done(ticket);
      }
      throwIfAborted(signal);
      crew.check();
      if (ring.state(ticket) === stateWhole) {
        if (ordered === "seed") source.addFromSeeds(1);
        else source.addFromStores(1, ring.storedBytes(ticket));
        yield ring.chunk(ticket);
      } else {
        yield await source.get(i, signal);
      }
    }
  } finally {
    controller.abort();
    await Promise.allSettled(ahead.filter((one) => typeof one === "object"));
  }
}

function order(source: ChunkSource, ring: ReadRing, i: number, ticket: number, signal: AbortSignal): Ordered {
  const { index } = source;
  const [size, id] = [index.size(i), index.id(i)];
  ring.prepare(ticket, size, id);
  const place = source.seedPlace(id, size);
  if (place === "read") {
    // The threads have a look at a slot that nobody waits for.
    ring.give(ticket, orderVerify);
    const reading = source.get(i, signal);
    // An error is thrown when it is its chunk's turn; until then it is not unhandled.
    reading.catch(() => {});
    return reading;
  }
  if (place !== undefined && "descriptor" in place) {
    ring.give(ticket, orderRange, place.descriptor, place.offset);
    return "seed";
  }
  if (place?.fill(ring.chunk(ticket)) === true) {
    ring.give(ticket, orderVerify);
    return "seed";
  }
  ring.give(ticket, orderStored);
  return "stored";
}

function largestSize({ index }: ChunkSource, from: number, to: number): number {
  let largest = 1;
  for (let i = from; i < to; i++) largest = Math.max(largest, index.size(i));
  return largest;
}

/** The threads; disposing ends them. */
class ReadCrew implements AsyncDisposable {
  readonly ring: ReadRing;
  readonly #exits: Promise<unknown>[] = [];
  readonly #signal: AbortSignal | undefined;
  readonly #wake: () => void;
  readonly #options: ReadWorkOptions;
  #work: ReadWork | undefined;
  #error: Error | undefined;

  constructor(options: ReadWorkOptions, signal: AbortSignal | undefined) {
    this.ring = new ReadRing(options.memory);
    this.#options = options;
    this.#signal = signal;
    this.#wake = () => this.ring.wake();
    signal?.addEventListener("abort", this.#wake, { once: true });
    // With this thread, which helps when it has to wait, as many as processors.
    for (let i = 0; i < Math.max(1, availableParallelism() - 1); i++) {
      const worker = startWorker("read-worker", options);
      worker.on("message", ({ error }: ReadWorkerMessage) => this.#fail(unpackError(error)));
      worker.on("error", (error: unknown) => this.#fail(error instanceof Error ? error : new Error(String(error))));
      this.#exits.push(new Promise((resolve) => worker.once("exit", resolve)));
    }
  }

  /** Carries out one order in this thread, if there is one that no other has taken. */
  help(): boolean {
    const ticket = this.ring.takeNow();
    if (ticket === undefined) return false;
    this.#work ??= new ReadWork(this.#options);
    this.#work.do(ticket);
    return true;
  }

  /** Throws what has ended a thread. */
  check(): void {
    if (this.#error !== undefined) throw this.#error;
  }

  #fail(error: Error): void {
    this.#error ??= error;
    this.ring.wake();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal?.removeEventListener("abort", this.#wake);
    this.ring.end();
    await Promise.all(this.#exits);
  }
}
