/**
 * Orders that one thread gives and others carry out, in memory that they share: numbers, taken by ticket.
 * No message is sent for an order: with messages the thread that gives them would spend more on them than
 * on its own work.
 * @module
 */

/** Int32 words of the counters; all wrap. */
const [wordGiven, wordTaken, wordSignal, wordEnd, wordWaiting] = [0, 1, 2, 3, 4];

/** How the orders end: all of them are carried out, or no more is begun. 0 while they go on. */
export const endFinish = 1;
export const endDrop = 2;

export interface OrderMemory {
  readonly orders: SharedArrayBuffer;
  readonly counters: SharedArrayBuffer;
}

/** @param most orders that are given and not yet taken at once */
export function allocateOrders(most: number): OrderMemory {
  // A power of two, so that the counters may wrap around 2^32.
  const length = 2 ** Math.ceil(Math.log2(Math.max(most, 1)));
  return { orders: new SharedArrayBuffer(length * 4), counters: new SharedArrayBuffer(5 * 4) };
}

/** One thread's view of the queue. */
export class OrderQueue {
  readonly #orders: Int32Array;
  readonly #counters: Int32Array;

  constructor(memory: OrderMemory) {
    this.#orders = new Int32Array(memory.orders);
    this.#counters = new Int32Array(memory.counters);
  }

  /** Gives an order without waking anyone; several are given, then signalled once. */
  give(order: number): void {
    const position = Atomics.load(this.#counters, wordGiven);
    this.#orders[this.#at(position)] = order;
    Atomics.store(this.#counters, wordGiven, (position + 1) | 0);
  }

  /** Wakes all threads: each waits for an order of its own, and the first to wait need not be the one. */
  signal(): void {
    Atomics.add(this.#counters, wordSignal, 1);
    // One that is about to wait sees that the signal has changed.
    if (Atomics.load(this.#counters, wordWaiting) > 0) Atomics.notify(this.#counters, wordSignal);
  }

  /** Waits for the next order; undefined when there is none to come. Worker threads only. */
  take(): number | undefined {
    const ticket = Atomics.add(this.#counters, wordTaken, 1);
    for (;;) {
      const signal = Atomics.load(this.#counters, wordSignal);
      const end = this.end;
      if (end === endDrop) return undefined;
      if (this.#given(ticket)) return this.#orders[this.#at(ticket)];
      if (end === endFinish) return undefined;
      Atomics.add(this.#counters, wordWaiting, 1);
      Atomics.wait(this.#counters, wordSignal, signal);
      Atomics.sub(this.#counters, wordWaiting, 1);
    }
  }

  /**
   * The next order, or undefined when there is none that no thread waits for.
   * @param spare as many as these are left to the other threads
   */
  takeNow(spare = 0): number | undefined {
    for (;;) {
      const ticket = Atomics.load(this.#counters, wordTaken);
      if (!this.#given((ticket + spare) | 0)) return undefined;
      const taken = Atomics.compareExchange(this.#counters, wordTaken, ticket, (ticket + 1) | 0);
      if (taken === ticket) return this.#orders[this.#at(ticket)];
    }
  }

  /** Whether every order is taken, and some thread waits for the next one or soon will. */
  get isEmpty(): boolean {
    return !this.#given(Atomics.load(this.#counters, wordTaken));
  }

  get end(): number {
    return Atomics.load(this.#counters, wordEnd);
  }

  setEnd(end: number): void {
    Atomics.store(this.#counters, wordEnd, end);
    this.signal();
  }

  /** By the difference of the counters, not their order: they wrap. */
  #given(ticket: number): boolean {
    return ((Atomics.load(this.#counters, wordGiven) - ticket) | 0) > 0;
  }

  #at(position: number): number {
    return (position >>> 0) % this.#orders.length;
  }
}
