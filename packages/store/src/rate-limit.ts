/**
 * A limit of bytes a second, received and sent, shared by all requests that are given it: a bucket of tokens that fills
 * evenly and holds those of a tenth of a second.
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
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

  /** Counts bytes that have come in or go out. @returns milliseconds to wait before taking more */
  take(bytes: number): number {
    const now = this.#now();
    const start = Math.max(this.#paidAt, now - burstSeconds * 1000);
    this.#paidAt = start + (bytes / this.bytesPerSecond) * 1000;
    return Math.max(this.#paidAt - now, 0);
  }
}

/** Counts bytes, and waits until more may follow. Nobody is kept from ending by it. */
export async function paced(limit: RateLimit | undefined, bytes: number, signal?: AbortSignal): Promise<void> {
  const pause = limit?.take(bytes) ?? 0;
  if (pause === 0) return;
  // An abort is noticed by whoever sends or reads next.
  await sleep(pause, undefined, signal === undefined ? {} : { signal }).catch(() => {});
}

/** The same bytes, no faster than the limit. */
export async function* pacedInput(
  input: AsyncIterable<Uint8Array>,
  limit: RateLimit,
): AsyncGenerator<Uint8Array, void> {
  for await (const bytes of input) {
    await paced(limit, bytes.length);
    yield bytes;
  }
}
