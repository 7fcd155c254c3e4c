/**
 * The digest of a stream, computed by a thread of its own while this one reads: on two processors as
 * long as the longer of both takes.
 * @module
 */
import { createHash } from "node:crypto";
import type { Worker } from "node:worker_threads";
import { abortedError, throwIfAborted } from "@imgtool/core";
import type { DigestAlgorithm } from "@imgtool/chunker";
import { allocateRing, ChunkRing, type RingMemory } from "./chunk-ring.ts";
import { endDrop, endFinish } from "./order-queue.ts";
import type { ContentDigestMessage, ContentDigestWorkerData } from "./content-digest-worker.ts";
import { startWorker } from "./start-worker.ts";
import { fillZeros, type StreamSink, tryWriteBytes, writeBytes } from "./stream-sink.ts";

/** Memory between the two threads. */
const ringSize: number = 8 * 1024 ** 2;
/** The longest view that is handed out: what the other thread gets to do while the next one is filled. */
const sliceSize: number = 512 * 1024;
/** Bytes after which the other thread is told of them: an archive of small files has a few in each record. */
const tellEvery: number = 64 * 1024;

/** Write the stream, then finish(). Disposing before that ends the thread. */
export class StreamDigest implements StreamSink, AsyncDisposable {
  readonly #algorithm: DigestAlgorithm;
  readonly #memory: RingMemory;
  readonly #ring: ChunkRing;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort: () => void;
  #worker: Worker | undefined;
  #exit: Promise<unknown> | undefined;
  #digest: string | undefined;
  #written = 0;
  /** How far the other thread has been told. */
  #told = 0;
  #error: Error | undefined;

  constructor(algorithm: DigestAlgorithm, signal?: AbortSignal) {
    throwIfAborted(signal);
    this.#algorithm = algorithm;
    this.#memory = allocateRing(new Uint8Array(new SharedArrayBuffer(ringSize)));
    this.#ring = new ChunkRing(this.#memory);
    this.#signal = signal;
    this.#onAbort = () => {
      if (signal !== undefined) this.#fail(abortedError(signal));
    };
    signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  async space(): Promise<Uint8Array> {
    for (;;) {
      const seen = this.#ring.doneSignal;
      const view = this.trySpace();
      if (view !== undefined) return view;
      this.#tell();
      this.#start();
      await this.#ring.done(seen);
    }
  }

  trySpace(): Uint8Array | undefined {
    if (this.#error !== undefined) throw this.#error;
    const offset = this.#written % ringSize;
    const used = this.#written - this.#ring.digested;
    const length = Math.min(ringSize - used, ringSize - offset, sliceSize);
    return length <= 0 ? undefined : this.#ring.bytes.subarray(offset, offset + length);
  }

  advance(count: number): void {
    this.#written += count;
    if (this.#written - this.#told >= tellEvery) this.#tell();
    // A short stream is digested at its end: starting a thread takes longer.
    if (this.#written > 2 * sliceSize) this.#start();
  }

  tryCut(): boolean {
    return true;
  }

  async cut(): Promise<void> {}

  tryWrite(bytes: Uint8Array): boolean {
    return tryWriteBytes(this, bytes);
  }

  write(bytes: Uint8Array): Promise<void> {
    return writeBytes(this, bytes);
  }

  writeZeros(length: number): Promise<void> {
    return fillZeros(this, length);
  }

  /** Ends the stream; its digest, hexadecimal. @throws AbortedError */
  async finish(): Promise<string> {
    if (this.#error !== undefined) throw this.#error;
    this.#tell();
    this.#ring.setEnd(endFinish);
    if (this.#exit === undefined)
      return createHash(this.#algorithm).update(this.#ring.bytes.subarray(0, this.#written)).digest("hex");
    await this.#exit;
    if (this.#error !== undefined) throw this.#error;
    if (!this.#digest) throw new Error("the digest's thread has ended early");
    return this.#digest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal?.removeEventListener("abort", this.#onAbort);
    if (this.#digest === undefined) this.#ring.setEnd(endDrop);
    await this.#exit;
  }

  #tell(): void {
    this.#told = this.#written;
    this.#ring.setWritten(this.#written);
  }

  #start(): void {
    if (this.#worker !== undefined) return;
    const data: ContentDigestWorkerData = { memory: this.#memory, digest: this.#algorithm };
    const worker = startWorker("content-digest-worker", data);
    worker.on("message", (message: ContentDigestMessage) => (this.#digest = message.digest));
    worker.on("error", (error: unknown) => this.#fail(error instanceof Error ? error : new Error(String(error))));
    this.#exit = new Promise((resolve) => worker.once("exit", resolve));
    this.#worker = worker;
  }

  /** Remembers the first error, which the next call throws, and wakes whoever waits. */
  #fail(error: Error): void {
    this.#error ??= error;
    this.#ring.setEnd(endDrop);
    this.#ring.signalDone();
  }
}
