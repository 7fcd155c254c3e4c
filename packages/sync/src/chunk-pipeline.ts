/**
 * From a stream's bytes to stored chunks: the core of everything that publishes or chunks.
 *
 * The caller writes bytes into a ring of shared memory; this thread cuts them; worker threads
 * digest, look up, compress and write the chunks; one more thread digests the stream as a whole.
 * Memory is bounded by the ring: space() waits until the workers have caught up.
 * @module
 */
import { availableParallelism } from "node:os";
import { abortedError, throwIfAborted, toHex } from "@imgtool/core";
import { type ChunkSizes, Cutter, CutterMemory, type DigestAlgorithm, digestLength } from "@imgtool/chunker";
import {
  type Compression,
  compressionLevel,
  type LocalStorePlace,
  openLocalStore,
  type WriteStore,
} from "@imgtool/store";
import {
  allocateRing,
  ChunkRing,
  chunkSlots,
  orderCompress,
  orderDigest,
  orderPlace,
  orderStore,
  stateFinished,
  stateFree,
  stateKnown,
} from "./chunk-ring.ts";
import { endDrop, endFinish } from "./order-queue.ts";
import { Breather } from "./breathe.ts";
import type { CopyTarget } from "./chunk-placer.ts";
import { ChunkCrew } from "./chunk-crew.ts";
import { ChunkTally } from "./chunk-tally.ts";
import { ChunkUploader } from "./chunk-uploader.ts";
import { fillZeros, type StreamSink, tryWriteBytes, writeBytes } from "./stream-sink.ts";

export interface ChunkPipelineOptions {
  readonly sizes: ChunkSizes;
  readonly digest: DigestAlgorithm;
  /**
   * Where new chunks go: a local store (its path, or with a key), which the workers write themselves and
   * which is made when it is not there, or an open store. None: chunks are only cut and digested.
   */
  readonly store?: string | LocalStorePlace | WriteStore | undefined;
  /** Default "zstd". */
  readonly compression?: Compression | undefined;
  /** Default: the codec's own. */
  readonly level?: number | undefined;
  /** Whether finish() flushes the chunks to the disk. Default true. */
  readonly durable?: boolean | undefined;
  /** Whether to digest the stream as a whole, too: as much work as all chunk ids. Default false. */
  readonly contentDigest?: boolean | undefined;
  /** Worker threads besides this one. Default: one per processor but one. */
  readonly workers?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called for each chunk in the stream's order; `id` is a view that is valid during the call. */
  readonly onChunk?: ((size: number, id: Uint8Array) => void) | undefined;
  /** Called as soon as a chunk is cut, long before its id is known. */
  readonly onCut?: ((size: number) => void) | undefined;
  /** A file that takes what it wants of the chunks; without a store only. */
  readonly copyTo?: CopyTarget | undefined;
}

export interface ChunkedStream {
  /** Length of the stream in bytes. */
  readonly size: number;
  readonly chunks: number;
  /** Chunks that the store did not hold. */
  readonly newChunks: number;
  /** What they take up in the store, compressed, in bytes. */
  readonly newBytes: number;
  /** Digest of the whole stream, hexadecimal, when it was asked for. */
  readonly digest: string | undefined;
}

/** Chunks of one slot: `count` of the same size, with the slot's id or, where it repeats, the last one. */
interface Skipped {
  readonly size: number;
  readonly count: number;
  readonly repeats: boolean;
}

/** Streams up to this length are chunked without threads. Less than the ring. */
const shortStream: number = 2 * 1024 ** 2;
const minimumRing: number = 16 * 1024 ** 2;
/** The longest slice space() hands out: what the workers get to do while the next one is read. */
const sliceSize: number = 1024 ** 2;

/**
 * Chunks a stream. Write with space() and commit(), or write(); then finish(). Disposing before that
 * drops what is under way; chunks that are stored stay.
 */
export class ChunkPipeline implements StreamSink, AsyncDisposable {
  readonly #options: ChunkPipelineOptions;
  readonly #ring: ChunkRing;
  readonly #cutter: Cutter;
  readonly #crew: ChunkCrew;
  readonly #uploader: ChunkUploader | undefined;
  readonly #tally = new ChunkTally();
  readonly #breather = new Breather();
  readonly #onAbort: () => void;
  readonly #orderKind: typeof orderDigest | typeof orderStore;
  /** Positions in the stream: bytes committed, bytes cut, start of the chunk under way, space given back. */
  #written = 0;
  #cut = 0;
  #chunkStart = 0;
  #released = 0;
  /** Bytes of the stream that did not go through the ring; the positions above do not count them. */
  #skipped = 0;
  /** For the slots of chunks that do not go through the ring, what they are. */
  readonly #skips = new Map<number, Skipped>();
  /** Id of the chunk that was known last. */
  readonly #lastId = new Uint8Array(digestLength);
  /** Counts of orders: given, id known, finished with. */
  #ordered = 0;
  #known = 0;
  #finished = 0;
  #isEnding = false;
  #zerosRunOn: boolean | undefined;
  #error: Error | undefined;

  private constructor(options: ChunkPipelineOptions) {
    this.#options = options;
    const { sizes, digest } = options;
    const { open: store, local } = whereTo(options.store);
    // Two of the largest chunks: one is filled while another is worked on.
    const capacity = Math.max(minimumRing, 2 * sizes.max + 4 * sliceSize);
    const cutterMemory = new CutterMemory(Math.ceil(capacity / 65536) * 65536);
    const memory = allocateRing(cutterMemory.bytes);
    this.#ring = new ChunkRing(memory);
    this.#cutter = new Cutter(sizes, cutterMemory);
    this.#orderKind = local === undefined ? orderDigest : orderStore;
    if (store !== undefined) this.#uploader = this.#makeUploader(store);
    this.#onAbort = () => {
      if (options.signal !== undefined) this.#fail(abortedError(options.signal));
    };
    options.signal?.addEventListener("abort", this.#onAbort, { once: true });
    this.#crew = new ChunkCrew(
      this.#ring,
      {
        memory,
        digest,
        compression: options.compression ?? "zstd",
        level: options.level,
        store: local,
        durable: options.durable ?? true,
        placer: options.copyTo && {
          plan: options.copyTo.plan,
          output: options.copyTo.output,
          sparse: options.copyTo.sparse,
        },
        workers: Math.max(1, options.workers ?? availableParallelism() - 1),
        contentDigest: options.contentDigest ?? false,
      },
      {
        compressed: (chunk) => this.#uploader?.compressed(chunk.slot, chunk),
        failed: (error) => this.#fail(error),
      },
    );
  }

  /**
   * Opens the store.
   * @throws ConfigError for a level the codec lacks; what openLocalStore() throws for the store
   */
  static async open(options: ChunkPipelineOptions): Promise<ChunkPipeline> {
    throwIfAborted(options.signal);
    compressionLevel(options.compression ?? "zstd", options.level);
    const { local } = whereTo(options.store);
    if (local !== undefined) await (await openLocalStore(local.directory, { create: true })).close();
    return new ChunkPipeline(options);
  }

  /** Bytes committed so far. */
  get position(): number {
    return this.#written + this.#skipped;
  }

  /**
   * Where the next bytes of the stream go: a view of 1 byte to 1 MiB. Fill its beginning, then commit().
   * @throws AbortedError; what a worker or the store threw
   */
  async space(): Promise<Uint8Array> {
    for (;;) {
      const seen = this.#ring.doneSignal;
      const view = this.trySpace();
      if (view !== undefined) return view;
      this.#cutSome();
      this.#crew.start();
      await this.#helpOrWait(seen);
    }
  }

  /** As space(), but undefined where it would wait. */
  trySpace(): Uint8Array | undefined {
    this.#settle();
    const offset = this.#written % this.#ring.capacity;
    const used = this.#written - this.#free;
    const length = Math.min(this.#ring.capacity - offset, sliceSize);
    // Whole slices alone: what one chunk gives back would be read with a system call and a turn of its own.
    return used + length > this.#ring.capacity ? undefined : this.#ring.bytes.subarray(offset, offset + length);
  }

  /** Takes the first `count` bytes of the view that space() gave as the stream's next. Then cut() them. */
  advance(count: number): void {
    this.#written += count;
    this.#ring.setWritten(this.#written);
    if (this.#written > shortStream) this.#crew.start();
  }

  /** Cuts what was taken by advance(). Waits only when 1024 chunks are under way. */
  async cut(): Promise<void> {
    while (!this.#cutSome()) {
      const seen = this.#ring.doneSignal;
      this.#settle();
      if (this.#ordered - this.#finished < chunkSlots) continue;
      this.#crew.start();
      await this.#helpOrWait(seen);
    }
  }

  /** cut(), unless it would wait: then false. */
  tryCut(): boolean {
    return this.#cutSome();
  }

  /** advance() and cut(). */
  commit(count: number): Promise<void> {
    this.advance(count);
    return this.cut();
  }

  /** write(), if there is space for all at once: else false, and nothing is taken. */
  tryWrite(bytes: Uint8Array): boolean {
    return tryWriteBytes(this, bytes);
  }

  /** Copies bytes of any length into the stream. */
  write(bytes: Uint8Array): Promise<void> {
    return writeBytes(this, bytes);
  }

  /**
   * Takes so many zeros as the next of the stream. Nearly all are neither written nor digested: from
   * the second chunk of nothing but zeros on, all chunks are equal.
   */
  async writeZeros(length: number): Promise<void> {
    const { max } = this.#cutter.sizes;
    let left = length;
    if (left >= 4 * max && this.#skipsZeros) {
      // The chunk under way ends somewhere in the first zeros, and one of zeros alone behind it.
      for (let chunk = 0; chunk < 2; chunk++) {
        const lead = max - this.#cutter.pending;
        await fillZeros(this, lead);
        left -= lead;
      }
      if (this.#cutter.pending === 0) {
        const count = Math.floor(left / max);
        await this.#orderSkipped(max, count);
        left -= count * max;
      }
    }
    await fillZeros(this, left);
  }

  /** Whether a chunk of zeros has no cut before the maximum size, and nobody digests the whole. */
  get #skipsZeros(): boolean {
    this.#zerosRunOn ??=
      new Cutter(this.#cutter.sizes).next(new Uint8Array(this.#cutter.sizes.max)) === this.#cutter.sizes.max;
    return this.#zerosRunOn && this.#options.contentDigest !== true;
  }

  /** Drops what was written behind the last cut. Not where the stream is digested as a whole. */
  rewind(): void {
    this.#written = this.#chunkStart;
    this.#cut = this.#chunkStart;
    this.#cutter.reset();
  }

  /**
   * Takes a chunk by its id, where the last one ended; what was written behind that is dropped.
   * @returns false when the store does not have it: nothing is taken then
   */
  async skipChunk(size: number, id: Uint8Array): Promise<boolean> {
    const { open, local } = whereTo(this.#options.store);
    const name = toHex(id);
    if (local !== undefined ? !this.#crew.keep(name) : (await open?.keep(name)) === false) return false;
    this.rewind();
    await this.#orderSkipped(size, 1, id);
    return true;
  }

  /** Takes chunks that do not go through the ring: by their id, or as equal to the one that was cut last. */
  async #orderSkipped(size: number, count: number, id?: Uint8Array): Promise<void> {
    while (this.#ordered - this.#finished >= chunkSlots) {
      this.#crew.start();
      await this.#wait();
    }
    const slot = this.#ordered++ % chunkSlots;
    this.#ring.setChunk(slot, 0, 0);
    if (id !== undefined) this.#ring.id(slot).set(id);
    this.#ring.setState(slot, stateKnown);
    this.#skips.set(slot, { size, count, repeats: id === undefined });
    this.#skipped += count * size;
  }

  #settleSkipped(slot: number, { size, count, repeats }: Skipped): void {
    if (!repeats) {
      this.#lastId.set(this.#ring.id(slot));
      this.#tally.add(this.#lastId);
    } else this.#tally.addAgain(count);
    for (let i = 0; i < count; i++) this.#options.onChunk?.(size, this.#lastId);
    this.#skips.delete(slot);
    this.#ring.setState(slot, stateFinished);
  }

  /**
   * Ends the stream and waits until every chunk is stored and, if durable, flushed.
   * @throws AbortedError; what a worker or the store threw
   */
  async finish(): Promise<ChunkedStream> {
    await this.cut();
    if (this.#ordered - this.#finished >= chunkSlots) this.#crew.start();
    while (this.#ordered - this.#finished >= chunkSlots) await this.#wait();
    if (this.#written > this.#chunkStart) {
      this.#order(this.#written);
      this.#ring.signalOrders();
    }
    this.#isEnding = true;
    this.#crew.help();
    while (this.#finished < this.#ordered) await this.#wait();
    this.#crew.finish();
    while (!this.#crew.through) await this.#wait();
    // Always: a registry or a bucket only then has what makes the chunks its own. How durable that is, the store knows.
    await this.#uploader?.flush();
    return { size: this.position, digest: this.#crew.contentDigest, ...this.#tally.counts() };
  }

  /** Ends the threads; what is not finished is dropped. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#ring.setEnd(this.#ring.end === endFinish ? endFinish : endDrop);
    this.#uploader?.drop();
    await this.#crew[Symbol.asyncDispose]();
    await this.#uploader?.settled();
  }

  /** Waits for news from the workers and takes them in. */
  async #wait(): Promise<void> {
    const seen = this.#ring.doneSignal;
    if (this.#settle()) return;
    await this.#helpOrWait(seen);
    this.#settle();
  }

  /**
   * Carries out an order that no thread has taken yet or, when there is none, waits for a signal. With as
   * many threads as processors, this one counted, none has to make room for another.
   */
  async #helpOrWait(seen: number): Promise<void> {
    const due = this.#breather.due();
    if (due !== undefined) await due;
    if (!this.#crew.helpOnce()) await this.#ring.done(seen);
  }

  /** The position up to which the ring's space is free again. */
  get #free(): number {
    const digested = this.#options.contentDigest === true ? this.#ring.digested : this.#written;
    return Math.min(this.#released, digested);
  }

  /** Cuts until the stream's end, or until no record is free: then false. */
  #cutSome(): boolean {
    const ring = this.#ring;
    let ordered = 0;
    let complete = true;
    while (this.#cut < this.#written) {
      const offset = this.#cut % ring.capacity;
      const length = Math.min(this.#written - this.#cut, ring.capacity - offset);
      if (this.#ordered - this.#finished >= chunkSlots) {
        complete = false;
        break;
      }
      const count = this.#cutter.next(ring.bytes, offset, offset + length);
      this.#cut += count < 0 ? length : count;
      if (count < 0) continue;
      this.#order(this.#cut);
      ordered++;
    }
    if (ordered > 0) ring.signalOrders();
    return complete;
  }

  /** Gives the chunk that ends at a position to the workers. A record must be free. */
  #order(end: number): void {
    const slot = this.#ordered % chunkSlots;
    this.#ring.setChunk(slot, this.#chunkStart % this.#ring.capacity, end - this.#chunkStart);
    this.#ring.give(this.#orderKind, slot);
    this.#ordered++;
    const size = end - this.#chunkStart;
    this.#chunkStart = end;
    this.#options.onCut?.(size);
  }

  /** Takes in what the workers have done, in the stream's order; returns whether there was anything. */
  #settle(): boolean {
    if (this.#error !== undefined) throw this.#error;
    const ring = this.#ring;
    const before = this.#known + this.#finished;
    let placed = 0;
    for (; this.#known < this.#ordered; this.#known++) {
      const slot = this.#known % chunkSlots;
      if (ring.state(slot) !== stateKnown || this.#uploader?.busy === true) break;
      const skipped = this.#skips.get(slot);
      if (skipped !== undefined) {
        this.#settleSkipped(slot, skipped);
        continue;
      }
      const id = ring.id(slot);
      this.#lastId.set(id);
      const length = ring.length(slot);
      this.#options.onChunk?.(length, id);
      const isFirst = this.#tally.add(id);
      const position = this.#options.copyTo?.claim(id) ?? -1;
      if (position >= 0) {
        ring.setPosition(slot, position);
        // no state of its own: known, and not finished until it is placed
        ring.give(orderPlace, slot);
        placed++;
      } else if (this.#uploader !== undefined && isFirst) this.#uploader.add(slot, id);
      else {
        if (ring.isNew(slot) && this.#orderKind === orderStore) this.#tally.addStored(id, ring.storedBytes(slot));
        ring.setState(slot, stateFinished);
      }
    }
    if (placed > 0) {
      ring.signalOrders();
      if (this.#isEnding) this.#crew.help();
    }
    for (; this.#finished < this.#known; this.#finished++) {
      const slot = this.#finished % chunkSlots;
      if (ring.state(slot) !== stateFinished) break;
      ring.setState(slot, stateFree);
      this.#released += ring.length(slot);
    }
    return this.#known + this.#finished > before;
  }

  #makeUploader(store: WriteStore): ChunkUploader {
    return new ChunkUploader(store, {
      compress: (slot) => {
        this.#ring.give(orderCompress, slot);
        this.#ring.signalOrders();
        if (this.#isEnding) this.#crew.help();
      },
      finished: (slot, storedBytes) => {
        if (storedBytes !== undefined) this.#tally.addStored(this.#ring.id(slot), storedBytes);
        this.#ring.setState(slot, stateFinished);
        this.#ring.signalDone();
      },
      failed: (error) => this.#fail(error),
    });
  }

  /** Remembers the first error, which the next call throws, and wakes whoever waits. */
  #fail(error: Error): void {
    this.#error ??= error;
    this.#ring.setEnd(endDrop);
    this.#ring.signalDone();
  }
}

interface Destination {
  readonly open?: WriteStore;
  readonly local?: LocalStorePlace;
}

function whereTo(store: ChunkPipelineOptions["store"]): Destination {
  if (typeof store === "string") return { local: { directory: store } };
  if (store === undefined) return {};
  return "directory" in store ? { local: store } : { open: store };
}
