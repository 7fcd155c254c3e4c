/**
 * Puts chunks into a store that the workers cannot write themselves: looks each chunk up, asks for
 * its compressed bytes only where it is missing, and has a bounded number of requests under way.
 * @module
 */
import { toHex } from "@imgtool/core";
import type { StoredChunk, WriteStore } from "@imgtool/store";

export interface UploaderEvents {
  /** Asks a worker to compress the chunk in a slot; compressed() brings the bytes. */
  compress(slot: number): void;
  /** The chunk in a slot is stored; `storedBytes` when it was new. */
  finished(slot: number, storedBytes: number | undefined): void;
  failed(error: Error): void;
}

/** Requests under way at most. */
const maxRequests = 32;

export class ChunkUploader {
  readonly #store: WriteStore;
  readonly #events: UploaderEvents;
  readonly #abort = new AbortController();
  readonly #waiting = new Map<number, (chunk: StoredChunk) => void>();
  readonly #running = new Set<Promise<void>>();
  #requests = 0;

  constructor(store: WriteStore, events: UploaderEvents) {
    this.#store = store;
    this.#events = events;
  }

  /** Whether as many requests are under way as may be. */
  get busy(): boolean {
    return this.#requests >= maxRequests;
  }

  /** Begins to store the chunk in a slot of the ring. */
  add(slot: number, id: Uint8Array): void {
    this.#requests++;
    const upload = this.#run(slot, toHex(id));
    this.#running.add(upload);
    void upload.then(() => this.#running.delete(upload));
  }

  /** Brings what a worker has compressed. */
  compressed(slot: number, chunk: StoredChunk): void {
    this.#waiting.get(slot)?.(chunk);
    this.#waiting.delete(slot);
  }

  /** Ends the requests under way. */
  drop(): void {
    this.#abort.abort();
    // Whoever waits for a worker waits in vain: it is let go, and its promise is dropped.
    for (const slot of this.#waiting.keys()) this.compressed(slot, { bytes: new Uint8Array(0), compressed: false });
  }

  /** Waits for the requests that drop() has ended. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#running);
  }

  /** Makes everything put so far durable. */
  async flush(): Promise<void> {
    await this.#store.flush();
  }

  async #run(slot: number, name: string): Promise<void> {
    try {
      const storedBytes = await this.#upload(slot, name);
      this.#requests--;
      this.#events.finished(slot, storedBytes);
    } catch (error) {
      this.#events.failed(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** Returns the bytes the chunk takes up in the store, or undefined when it was there. */
  async #upload(slot: number, name: string): Promise<number | undefined> {
    const { signal } = this.#abort;
    if (await this.#store.keep(name, signal)) return undefined;
    signal.throwIfAborted();
    const { promise, resolve } = Promise.withResolvers<StoredChunk>();
    this.#waiting.set(slot, resolve);
    this.#events.compress(slot);
    const chunk = await promise;
    signal.throwIfAborted();
    const isNew = await this.#store.put(name, { bytes: chunk.bytes, compressed: chunk.compressed }, signal);
    return isNew ? (this.#store.storedBytes?.(chunk) ?? chunk.bytes.length) : undefined;
  }
}
