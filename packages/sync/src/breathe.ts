/**
 * Long synchronous work lets the event loop have its turn now and then: for Ctrl-C, for progress that is
 * drawn, for whoever shares the process.
 * @module
 */
import { setImmediate } from "node:timers/promises";

/** Milliseconds without a turn. */
const breath = 30;

/** Tells when it is time. */
export class Breather {
  #last = performance.now();

  /** A promise to wait for when it is time; else undefined, at the cost of reading a clock. */
  due(): Promise<void> | undefined {
    if (performance.now() - this.#last < breath) return undefined;
    return this.#turn();
  }

  async #turn(): Promise<void> {
    await setImmediate();
    this.#last = performance.now();
  }
}
