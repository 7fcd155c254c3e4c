/**
 * Who carries out the pipeline's orders: worker threads, and this thread when it has nothing else to do.
 * A short stream is this thread's alone, since starting threads takes longer than chunking a few megabytes.
 * @module
 */
import { createHash } from "node:crypto";
import { type ChunkRing } from "./chunk-ring.ts";
import { endFinish } from "./order-queue.ts";
import { ChunkWork, type ChunkWorkOptions, type CompressedChunk } from "./chunk-work.ts";
import type { ChunkWorkerMessage } from "./chunk-worker.ts";
import type { ContentDigestMessage, ContentDigestWorkerData } from "./content-digest-worker.ts";
import { unpackError } from "./packed-error.ts";
import { startWorker } from "./start-worker.ts";

export interface ChunkCrewOptions extends ChunkWorkOptions {
  /** Threads for the chunks, besides one for the stream as a whole. */
  readonly workers: number;
  /** Whether to digest the stream as a whole. */
  readonly contentDigest: boolean;
}

export interface ChunkCrewEvents {
  compressed(chunk: CompressedChunk): void;
  failed(error: Error): void;
}

export class ChunkCrew implements AsyncDisposable {
  readonly #ring: ChunkRing;
  readonly #options: ChunkCrewOptions;
  readonly #events: ChunkCrewEvents;
  readonly #exits: Promise<unknown>[] = [];
  /** This thread's part. */
  #work: ChunkWork | undefined;
  /** Threads that have not said yet that they are through. */
  #unfinished = 0;
  #contentDigest: string | undefined;

  constructor(ring: ChunkRing, options: ChunkCrewOptions, events: ChunkCrewEvents) {
    this.#ring = ring;
    this.#options = options;
    this.#events = events;
  }

  /** Digest of the whole stream, hexadecimal; known when the crew is through, if it was asked for. */
  get contentDigest(): string | undefined {
    return this.#contentDigest;
  }

  /** Whether every thread has ended its part. */
  get through(): boolean {
    return this.#unfinished === 0;
  }

  /** Starts the threads, unless they run. */
  start(): void {
    if (this.#exits.length > 0) return;
    const { memory, digest, compression, level, store, durable, placer, workers, contentDigest } = this.#options;
    const options: ChunkWorkOptions = { memory, digest, compression, level, store, durable, placer };
    for (let i = 0; i < workers; i++) this.#startThread("chunk-worker", options);
    if (contentDigest) this.#startThread("content-digest-worker", { memory, digest });
  }

  /** Carries out the orders given so far in this thread; with threads running, leaves them to those. */
  help(): void {
    while (this.#exits.length === 0 && this.helpOnce());
  }

  /** Carries out one order in this thread, if there is one that no other has taken. */
  helpOnce(): boolean {
    const job = this.#ring.takeNow();
    if (job === undefined) return false;
    this.#work ??= new ChunkWork(this.#ring, this.#options, (chunk) => this.#events.compressed(chunk));
    this.#work.do(job);
    return true;
  }

  /** Whether the local store has a chunk, which counts as used then. */
  keep(name: string): boolean {
    this.#work ??= new ChunkWork(this.#ring, this.#options, (chunk) => this.#events.compressed(chunk));
    return this.#work.keep(name);
  }

  /** All orders are given and carried out: flush, and tell the digest. Then wait for `through`. */
  finish(): void {
    this.#ring.setEnd(endFinish);
    this.#work?.flush();
    if (this.#exits.length > 0) return;
    if (!this.#options.contentDigest) return;
    // No thread was started, so the whole stream is in the ring.
    const stream = this.#ring.bytes.subarray(0, this.#ring.written);
    this.#contentDigest = createHash(this.#options.digest).update(stream).digest("hex");
  }

  /** Waits for the threads to end; the ring's end must be set. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#work?.[Symbol.dispose]();
    await Promise.all(this.#exits);
  }

  #startThread(
    name: "chunk-worker" | "content-digest-worker",
    workerData: ChunkWorkOptions | ContentDigestWorkerData,
  ): void {
    const worker = startWorker(name, workerData);
    worker.on("message", (message: ChunkWorkerMessage | ContentDigestMessage) => this.#take(message));
    worker.on("error", (error: unknown) =>
      this.#events.failed(error instanceof Error ? error : new Error(String(error))),
    );
    this.#exits.push(new Promise((resolve) => worker.once("exit", resolve)));
    this.#unfinished++;
  }

  #take(message: ChunkWorkerMessage | ContentDigestMessage): void {
    if (message.type === "failed") return this.#events.failed(unpackError(message.error));
    if (message.type === "compressed") return this.#events.compressed(message);
    if (message.type === "content") this.#contentDigest = message.digest;
    this.#unfinished--;
    return this.#ring.signalDone();
  }
}
