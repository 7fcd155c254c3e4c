/**
 * The memory that a reader of chunks shares with its threads: a slot for each chunk under way, in the
 * order in which they are wanted, and the counters that threads wait on.
 * @module
 */
import { allocateOrders, endDrop, type OrderMemory, OrderQueue } from "./order-queue.ts";

/** Bytes of a chunk id. Not imported: workers load no more than they need, as each load costs 20 ms. */
const idLength = 32;
const recordWords = 8;
const [wordState, wordSize, wordOrder, wordDescriptor, wordStored, wordStaged, wordCompressed] = [0, 1, 2, 3, 4, 5, 6];
const wordPosition = 7;
const [wordWanted, wordDone] = [0, 1];

/** Stands for all tickets where one is waited for. One that wraps to it wakes too often, not too rarely. */
const anyTicket = -1;

/** What a thread does for a chunk. Whatever comes out is verified. */
export type ReadOrder = typeof orderStored | typeof orderRange | typeof orderVerify | typeof orderStaged;
/** Read it from the local store. */
export const orderStored = 0;
/** Read it from an open file, at an offset. */
export const orderRange = 1;
/** Its bytes are in the slot. */
export const orderVerify = 2;
/** Its bytes are staged as a store has handed them out. */
export const orderStaged = 3;

/** A slot's state: under way, whole, or not to be had this way. */
export const stateWaiting = 0;
export const stateWhole = 1;
export const stateFailed = 2;

export interface ReadRingMemory {
  readonly bytes: SharedArrayBuffer;
  readonly records: SharedArrayBuffer;
  readonly offsets: SharedArrayBuffer;
  readonly ids: SharedArrayBuffer;
  readonly counters: SharedArrayBuffer;
  readonly orders: OrderMemory;
  readonly staging: SharedArrayBuffer;
  readonly slots: number;
  /** Bytes of a slot. */
  readonly largest: number;
  /** Bytes of a slot for chunks as they are stored; 0 where none are staged. */
  readonly largestStaged: number;
}

export function allocateReadRing(slots: number, largest: number, largestStaged = 0): ReadRingMemory {
  return {
    orders: allocateOrders(slots),
    staging: new SharedArrayBuffer(slots * largestStaged),
    largestStaged,
    bytes: new SharedArrayBuffer(slots * largest),
    records: new SharedArrayBuffer(slots * recordWords * 4),
    offsets: new SharedArrayBuffer(slots * 8),
    ids: new SharedArrayBuffer(slots * idLength),
    counters: new SharedArrayBuffer(2 * 4),
    slots,
    largest,
  };
}

/** One thread's view of it. Tickets number the chunks that were ordered, from 0 on; they wrap. */
export class ReadRing {
  readonly #memory: ReadRingMemory;
  readonly #bytes: Uint8Array;
  readonly #records: Int32Array;
  readonly #offsets: Float64Array;
  readonly #ids: Uint8Array;
  readonly #counters: Int32Array;
  readonly #orders: OrderQueue;
  readonly #staging: Uint8Array;

  constructor(memory: ReadRingMemory) {
    this.#memory = memory;
    this.#bytes = new Uint8Array(memory.bytes);
    this.#records = new Int32Array(memory.records);
    this.#offsets = new Float64Array(memory.offsets);
    this.#ids = new Uint8Array(memory.ids);
    this.#counters = new Int32Array(memory.counters);
    this.#orders = new OrderQueue(memory.orders);
    this.#staging = new Uint8Array(memory.staging);
  }

  #slot(ticket: number): number {
    return (ticket >>> 0) % this.#memory.slots;
  }
  #word(ticket: number, word: number): number {
    return this.#slot(ticket) * recordWords + word;
  }

  order(ticket: number): ReadOrder {
    return this.#records[this.#word(ticket, wordOrder)] as ReadOrder;
  }
  descriptor(ticket: number): number {
    return this.#records[this.#word(ticket, wordDescriptor)] as number;
  }
  offset(ticket: number): number {
    return this.#offsets[this.#slot(ticket)] as number;
  }
  /** Where the chunk's plain bytes are, or go to: a view. */
  chunk(ticket: number): Uint8Array {
    const at = this.#slot(ticket) * this.#memory.largest;
    return this.#bytes.subarray(at, at + (this.#records[this.#word(ticket, wordSize)] as number));
  }
  id(ticket: number): Uint8Array {
    const at = this.#slot(ticket) * idLength;
    return this.#ids.subarray(at, at + idLength);
  }
  /** Which of a plan's chunks it is; −1 where it goes into no file. */
  position(ticket: number): number {
    return this.#records[this.#word(ticket, wordPosition)] as number;
  }
  /** Bytes that were read from the store. */
  storedBytes(ticket: number): number {
    return this.#records[this.#word(ticket, wordStored)] as number;
  }
  state(ticket: number): number {
    return Atomics.load(this.#records, this.#word(ticket, wordState));
  }

  // The reader's side.

  /** Says which chunk the ticket is for, before fill() or give(). */
  prepare(ticket: number, size: number, id: Uint8Array, position = -1): void {
    this.#records[this.#word(ticket, wordSize)] = size;
    this.#records[this.#word(ticket, wordPosition)] = position;
    this.#ids.set(id, this.#slot(ticket) * idLength);
    Atomics.store(this.#records, this.#word(ticket, wordState), stateWaiting);
  }
  /** Where a store may put the bytes of a chunk as it hands them out, before stage(). */
  staging(ticket: number): Uint8Array {
    const at = this.#slot(ticket) * this.#memory.largestStaged;
    return this.#staging.subarray(at, at + this.#memory.largestStaged);
  }
  /** Puts the bytes of a chunk as a store has handed them out beside its slot; false when they do not fit. */
  stage(ticket: number, bytes: Uint8Array, compressed: boolean): boolean {
    if (bytes.length > this.#memory.largestStaged) return false;
    const at = this.#slot(ticket) * this.#memory.largestStaged;
    if (bytes.buffer !== this.#memory.staging || bytes.byteOffset !== at) this.#staging.set(bytes, at);
    this.#records[this.#word(ticket, wordStaged)] = bytes.length;
    this.#records[this.#word(ticket, wordCompressed)] = compressed ? 1 : 0;
    return true;
  }
  /** Gives the ticket to the threads, in any order; each is given once. */
  give(ticket: number, order: ReadOrder, descriptor = -1, offset = 0): void {
    this.giveUnsignalled(ticket, order, descriptor, offset);
    this.signal();
  }
  /** As give(), without waking a thread: signal() does that for several. */
  giveUnsignalled(ticket: number, order: ReadOrder, descriptor = -1, offset = 0): void {
    this.#records[this.#word(ticket, wordOrder)] = order;
    this.#records[this.#word(ticket, wordDescriptor)] = descriptor;
    this.#offsets[this.#slot(ticket)] = offset;
    this.#orders.give(ticket);
  }
  signal(): void {
    this.#orders.signal();
  }
  /** Resolves when the ticket may be done; whoever waits looks again. */
  async done(ticket: number): Promise<void> {
    const seen = this.changes;
    Atomics.store(this.#counters, wordWanted, ticket | 0);
    if (this.state(ticket) === stateWaiting) await this.changed(seen);
  }
  /** From now on the reader is woken by whatever is done. */
  wantAny(): void {
    Atomics.store(this.#counters, wordWanted, anyTicket);
  }
  /** Counts what was done, and changed() resolves when there is more than was seen. */
  get changes(): number {
    return Atomics.load(this.#counters, wordDone);
  }
  async changed(seen: number): Promise<void> {
    const wait = Atomics.waitAsync(this.#counters, wordDone, seen);
    if (wait.async) await wait.value;
  }
  /** Lets whoever waits look again. */
  wake(): void {
    Atomics.add(this.#counters, wordDone, 1);
    Atomics.notify(this.#counters, wordDone);
  }
  /** Ends the threads once they have done what they have begun. */
  end(): void {
    this.#orders.setEnd(endDrop);
  }

  // The threads' side.

  /** Waits for the next ticket; undefined at the end. */
  take(): number | undefined {
    return this.#orders.take();
  }
  /** The next ticket, or undefined when there is none besides the `spare` that are left to other threads. */
  takeNow(spare?: number): number | undefined {
    return this.#orders.takeNow(spare);
  }
  /** The bytes that were staged: a view. */
  staged(ticket: number): { readonly bytes: Uint8Array; readonly compressed: boolean } {
    const at = this.#slot(ticket) * this.#memory.largestStaged;
    const length = this.#records[this.#word(ticket, wordStaged)] as number;
    const compressed = this.#records[this.#word(ticket, wordCompressed)] === 1;
    return { bytes: this.#staging.subarray(at, at + length), compressed };
  }
  /** Tells that the ticket is done; the reader is woken when it waits for this one. */
  finish(ticket: number, state: typeof stateWhole | typeof stateFailed, storedBytes = 0): void {
    this.#records[this.#word(ticket, wordStored)] = storedBytes;
    Atomics.store(this.#records, this.#word(ticket, wordState), state);
    const wanted = Atomics.load(this.#counters, wordWanted);
    if (wanted === (ticket | 0) || wanted === anyTicket) this.wake();
  }
}
