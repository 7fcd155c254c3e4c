/**
 * How many requests are under way at once: up to a limit, of which half is left when the server asks for
 * less (503 "Slow Down", 429) and to which it returns one by one, as TCP does with its window. A storage
 * service that is asked by many at once would go on refusing them all otherwise.
 * @module
 */
import { abortedError, throwIfAborted } from "@imgtool/core";

export class AdaptiveLimit {
  readonly #most: number;
  readonly #waiting: (() => void)[] = [];
  #limit: number;
  #running = 0;
  /** Answers since the limit was changed last. */
  #answers = 0;
  /** When the limit was halved last: what was sent before does not count again. */
  #slowedAt = -Infinity;

  /** @param most requests at once, at least 1 */
  constructor(most: number) {
    this.#most = Math.max(most, 1);
    this.#limit = this.#most;
  }

  /** Most requests at once, at the moment. */
  get limit(): number {
    return this.#limit;
  }

  /** Waits for a place. @throws AbortedError */
  async enter(signal: AbortSignal | undefined): Promise<void> {
    throwIfAborted(signal);
    if (this.#running < this.limit) {
      this.#running++;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1);
        if (signal !== undefined) reject(abortedError(signal));
      };
      const enter = (): void => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#waiting.push(enter);
    });
  }

  /** Gives the place back. */
  leave(): void {
    this.#running--;
    this.#admit();
  }

  /**
   * The server asks for fewer requests.
   * @param sentAt when the refused one was sent, by performance.now()
   */
  slowDown(sentAt: number): void {
    // Of many that were refused together, one is the reason.
    if (sentAt < this.#slowedAt) return;
    this.#slowedAt = performance.now();
    this.#limit = Math.max(Math.floor(this.#limit / 2), 1);
    this.#answers = 0;
  }

  /** A request was answered: as many in a row as may be under way make room for one more. */
  succeeded(): void {
    if (this.#limit >= this.#most || ++this.#answers < this.#limit) return;
    this.#answers = 0;
    this.#limit++;
    this.#admit();
  }

  #admit(): void {
    while (this.#running < this.limit) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#running++;
      next();
    }
  }
}
