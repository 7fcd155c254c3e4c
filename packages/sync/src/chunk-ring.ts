/**
 * The memory that the chunk pipeline's threads share: the stream's bytes in a ring, one record per
 * chunk under way, and the counters that threads wait on.
 *
 * The main thread writes bytes, cuts them and gives orders; workers take orders by ticket and mark
 * the chunk's record. Nothing is copied and no message is sent per chunk: with messages the main
 * thread would spend more on them than on cutting.
 * @module
 */
import { allocateOrders, type OrderMemory, OrderQueue } from "./order-queue.ts";

/** Bytes of a chunk id. Not imported: workers load no more than they need, as each load costs 20 ms. */
const digestLength = 32;
/** Chunks under way at most; a power of two, so that tickets may wrap around 2^32. */
export const chunkSlots = 1024;

/** What a worker does with a chunk. */
export type Order = typeof orderDigest | typeof orderStore | typeof orderCompress | typeof orderPlace;
/** Compute its id. */
export const orderDigest = 0;
/** Compute its id and, unless the local store has it, compress and write it. */
export const orderStore = 1;
/** Compress it and post the bytes to the main thread. */
export const orderCompress = 2;
/** Write it to its places in an output. */
export const orderPlace = 3;

export interface Job {
  readonly order: Order;
  readonly slot: number;
}

/** Int32 words of a chunk's record. */
const recordWords = 8;
const [wordOffset, wordLength, wordState, wordStoredBytes, wordIsNew, wordPosition] = [0, 1, 2, 3, 4, 5];

/** A chunk's state: free, ordered, its id known, finished with. */
export const stateFree = 0;
const stateOrdered = 1;
export const stateKnown = 2;
export const stateFinished = 3;

/** Int32 words of the counters. */
const [wordDoneSignal, wordContentSignal] = [0, 1];

/** What is handed to a worker as it starts. */
export interface RingMemory {
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  readonly records: SharedArrayBuffer;
  readonly ids: SharedArrayBuffer;
  readonly orders: OrderMemory;
  readonly counters: SharedArrayBuffer;
  readonly positions: SharedArrayBuffer;
}

/** Allocates a ring around the memory that the stream's bytes go through. */
export function allocateRing(bytes: Uint8Array<SharedArrayBuffer>): RingMemory {
  return {
    bytes,
    records: new SharedArrayBuffer(chunkSlots * recordWords * 4),
    ids: new SharedArrayBuffer(chunkSlots * digestLength),
    orders: allocateOrders(2 * chunkSlots),
    counters: new SharedArrayBuffer(2 * 4),
    positions: new SharedArrayBuffer(2 * 8),
  };
}

/** One thread's view of the shared memory. */
export class ChunkRing {
  readonly bytes: Uint8Array;
  readonly #records: Int32Array;
  readonly #ids: Uint8Array;
  readonly #names: Buffer;
  readonly #orders: OrderQueue;
  readonly #counters: Int32Array;
  readonly #positions: BigInt64Array;

  constructor(memory: RingMemory) {
    this.bytes = memory.bytes;
    this.#records = new Int32Array(memory.records);
    this.#ids = new Uint8Array(memory.ids);
    this.#names = Buffer.from(memory.ids);
    this.#orders = new OrderQueue(memory.orders);
    this.#counters = new Int32Array(memory.counters);
    this.#positions = new BigInt64Array(memory.positions);
  }

  get capacity(): number {
    return this.bytes.length;
  }

  // Records, by slot.

  setChunk(slot: number, offset: number, length: number): void {
    this.#records[slot * recordWords + wordOffset] = offset;
    this.#records[slot * recordWords + wordLength] = length;
    Atomics.store(this.#records, slot * recordWords + wordState, stateOrdered);
  }
  length(slot: number): number {
    return this.#records[slot * recordWords + wordLength] as number;
  }
  state(slot: number): number {
    return Atomics.load(this.#records, slot * recordWords + wordState);
  }
  setState(slot: number, state: number): void {
    Atomics.store(this.#records, slot * recordWords + wordState, state);
  }
  storedBytes(slot: number): number {
    return this.#records[slot * recordWords + wordStoredBytes] as number;
  }
  isNew(slot: number): boolean {
    return this.#records[slot * recordWords + wordIsNew] === 1;
  }
  setOutcome(slot: number, storedBytes: number, isNew: boolean): void {
    this.#records[slot * recordWords + wordStoredBytes] = storedBytes;
    this.#records[slot * recordWords + wordIsNew] = isNew ? 1 : 0;
  }
  /** Which of the chunks of a plan it is. */
  position(slot: number): number {
    return this.#records[slot * recordWords + wordPosition] as number;
  }
  setPosition(slot: number, position: number): void {
    this.#records[slot * recordWords + wordPosition] = position;
  }
  /** The chunk's 32-byte id: a view. */
  id(slot: number): Uint8Array {
    return this.#ids.subarray(slot * digestLength, (slot + 1) * digestLength);
  }
  /** The id as hexadecimal digits. */
  setName(slot: number, name: string): void {
    this.#names.write(name, slot * digestLength, "hex");
  }
  /** The chunk's bytes: a view, or a copy where the chunk goes over the ring's end. */
  chunk(slot: number): Uint8Array {
    const offset = this.#records[slot * recordWords + wordOffset] as number;
    const length = this.length(slot);
    if (offset + length <= this.capacity) return this.bytes.subarray(offset, offset + length);
    const copy = new Uint8Array(length);
    copy.set(this.bytes.subarray(offset));
    copy.set(this.bytes.subarray(0, length - (this.capacity - offset)), this.capacity - offset);
    return copy;
  }

  // Orders, main thread to workers.

  /** Gives an order without waking anyone; several are given, then signalled once. */
  give(order: Order, slot: number): void {
    this.#orders.give(slot * 4 + order);
  }
  signalOrders(): void {
    this.#orders.signal();
  }
  /** Waits for the next order; undefined when there is none to come. Worker threads only. */
  take(): Job | undefined {
    return jobOf(this.#orders.take());
  }
  /** The next order, or undefined when there is none that no thread waits for. */
  takeNow(): Job | undefined {
    return jobOf(this.#orders.takeNow());
  }

  // What the main thread waits for.

  /**
   * Marks a chunk's id as known. The main thread is woken for every eighth chunk and when there are
   * no more orders: woken for each, it would run between any two.
   */
  setKnown(slot: number): void {
    this.setState(slot, stateKnown);
    this.#signalSometimes(slot);
  }

  /** Marks a chunk as finished with; wakes the main thread as setKnown() does. */
  setFinished(slot: number): void {
    this.setState(slot, stateFinished);
    this.#signalSometimes(slot);
  }

  #signalSometimes(slot: number): void {
    if (slot % 8 === 7 || this.#orders.isEmpty) this.signalDone();
  }

  /** Tells the main thread that something is done. */
  signalDone(): void {
    Atomics.add(this.#counters, wordDoneSignal, 1);
    Atomics.notify(this.#counters, wordDoneSignal);
  }
  get doneSignal(): number {
    return Atomics.load(this.#counters, wordDoneSignal);
  }
  /** Resolves when signalDone() was called after `seen` was read from doneSignal. */
  async done(seen: number): Promise<void> {
    const wait = Atomics.waitAsync(this.#counters, wordDoneSignal, seen);
    if (wait.async) await wait.value;
  }

  get end(): number {
    return this.#orders.end;
  }
  setEnd(end: number): void {
    this.#orders.setEnd(end);
    this.#signalContent();
  }

  // The stream as a whole, main thread to the content digest's thread.

  get written(): number {
    return Number(Atomics.load(this.#positions, 0));
  }
  setWritten(position: number): void {
    Atomics.store(this.#positions, 0, BigInt(position));
    this.#signalContent();
  }
  get digested(): number {
    return Number(Atomics.load(this.#positions, 1));
  }
  setDigested(position: number): void {
    Atomics.store(this.#positions, 1, BigInt(position));
    this.signalDone();
  }
  get contentSignal(): number {
    return Atomics.load(this.#counters, wordContentSignal);
  }
  /** Waits for more of the stream or its end. Worker threads only. */
  waitContent(seen: number): void {
    Atomics.wait(this.#counters, wordContentSignal, seen);
  }
  #signalContent(): void {
    Atomics.add(this.#counters, wordContentSignal, 1);
    Atomics.notify(this.#counters, wordContentSignal);
  }
}

function jobOf(order: number | undefined): Job | undefined {
  return order === undefined ? undefined : { order: (order % 4) as Order, slot: Math.floor(order / 4) };
}
