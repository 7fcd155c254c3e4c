/**
 * The threads of a reader of chunks, and the memory that it shares with them.
 * @module
 */
import { availableParallelism } from "node:os";
import type { Worker } from "node:worker_threads";
import { unpackError } from "./packed-error.ts";
import { ReadRing } from "./read-ring.ts";
import { ReadWork, type ReadWorkOptions } from "./read-work.ts";
import type { ReadWorkerMessage } from "./read-worker.ts";
import { startWorker } from "./start-worker.ts";

export interface ReadCrewOptions extends ReadWorkOptions {
  /** Threads besides this one. Default: one per processor but one. */
  readonly workers?: number | undefined;
  /** Whether the process may end while the threads wait. Default false. */
  readonly isIdle?: boolean;
}

/** The threads; disposing ends them. */
export class ReadCrew implements AsyncDisposable {
  readonly ring: ReadRing;
  readonly #workers: Worker[] = [];
  readonly #exits: Promise<unknown>[] = [];
  readonly #signal: AbortSignal | undefined;
  readonly #wake: () => void;
  readonly #options: ReadWorkOptions;
  #work: ReadWork | undefined;
  #error: Error | undefined;

  constructor(options: ReadCrewOptions, signal: AbortSignal | undefined) {
    this.ring = new ReadRing(options.memory);
    this.#options = options;
    this.#signal = signal;
    this.#wake = () => this.ring.wake();
    signal?.addEventListener("abort", this.#wake, { once: true });
    // With this thread, which helps when it has to wait, as many as processors.
    const { workers = availableParallelism() - 1, isIdle = false, memory, digest, store, target } = options;
    const work: ReadWorkOptions = { memory, digest, store, target };
    for (let i = 0; i < Math.max(1, workers); i++) {
      const worker = startWorker("read-worker", work);
      this.#workers.push(worker);
      if (isIdle) worker.unref();
      worker.on("message", ({ error }: ReadWorkerMessage) => this.#fail(unpackError(error)));
      worker.on("error", (error: unknown) => this.#fail(error instanceof Error ? error : new Error(String(error))));
      this.#exits.push(new Promise((resolve) => worker.once("exit", resolve)));
    }
  }

  /**
   * Carries out one order in this thread, if there is one that no other has taken.
   * @param spare as many as these are left to the others
   */
  help(spare?: number): boolean {
    const ticket = this.ring.takeNow(spare);
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
    // who ends them waits until they have ended
    for (const worker of this.#workers) worker.ref();
    await Promise.all(this.#exits);
    this.#work?.[Symbol.dispose]();
  }
}
