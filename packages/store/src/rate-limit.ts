/**
 * A limit of bytes a second, shared by all requests that are given it: a bucket of tokens that fills
 * evenly and holds those of a tenth of a second.
 * @module
 */
import { ConfigError } from "@imgtool/core";

const burstSeconds = 0.1;

export class RateLimit {
  readonly bytesPerSecond: number;
  readonly #now: () => number;
  /** When all that was taken so far is paid for, in milliseconds. */
  #paidAt = -Infinity;

  /**
   * @param now milliseconds of a clock that never goes back: for tests
   * @throws ConfigError `rate-limit-invalid`
   */
  constructor(bytesPerSecond: number, now: () => number = () => performance.now()) {
    if (!(bytesPerSecond >= 1)) {
      throw new ConfigError(`a limit of ${bytesPerSecond} bytes a second lets nothing through`, {
        code: "rate-limit-invalid",
        hint: "expected at least 1",
        data: { found: bytesPerSecond },
      });
    }
    this.bytesPerSecond = bytesPerSecond;
    this.#now = now;
  }

  /** Counts bytes that have come in. @returns milliseconds to wait before taking more */
  take(bytes: number): number {
    const now = this.#now();
    const start = Math.max(this.#paidAt, now - burstSeconds * 1000);
    this.#paidAt = start + (bytes / this.bytesPerSecond) * 1000;
    return Math.max(this.#paidAt - now, 0);
  }
}
