/**
 * An image that is read at any place without being there: its chunks are fetched as they are needed, the
 * next ones meanwhile, and kept within a bounded memory. Every chunk is verified before its bytes are seen.
 * @module
 */
import { abortedError, concatBytes, throwIfAborted } from "@imgtool/core";
import { type ChunkSource, ChunkThreads } from "@imgtool/sync";

export interface ImageReaderOptions {
  /** Bytes of chunks that are kept. Default 64 MiB; never less than two chunks. */
  readonly cacheSize?: number | undefined;
  /** Chunks that are fetched ahead of a reader who has gone on for a while where he was. Default 32. */
  readonly readAhead?: number | undefined;
  /** Ends everything that waits. */
  readonly signal?: AbortSignal | undefined;
}

/** Chunks that are fetched ahead at first; twice as many with each read that goes on. */
const firstAhead = 4;
/** Readers in order that are known at once. */
const mostStreams = 8;
/** Bytes that are read in order before threads take over, which takes them 30 ms. */
const worthThreads: number = 4 * 1024 ** 2;

/** Somebody who reads in order. */
interface Stream {
  /** The chunk that he asks for next. */
  expected: number;
  /** Chunks that are fetched ahead for him, and bytes that he has read. */
  ahead: number;
  bytes: number;
}

/** A range of an image: bytes, and whether they are known to be zeros without having been read. */
export interface ImageExtent {
  readonly offset: number;
  readonly length: number;
  readonly isZero: boolean;
}

export class ImageReader implements AsyncDisposable {
  readonly #source: ChunkSource;
  readonly #cacheSize: number;
  readonly #readAhead: number;
  readonly #signal: AbortSignal | undefined;
  /** Chunks that are there or on their way, the least recently used first. */
  readonly #chunks = new Map<number, Promise<Uint8Array>>();
  #cached = 0;
  /** The least recently active first. */
  readonly #streams: Stream[] = [];
  #threads: ChunkThreads | undefined;
  #waiting = 0;

  constructor(source: ChunkSource, options: ImageReaderOptions = {}) {
    this.#source = source;
    this.#cacheSize = Math.max(options.cacheSize ?? 64 * 1024 ** 2, 2 * source.index.sizes.max);
    // Of what is kept the half may be ahead of its readers.
    const most = Math.floor(this.#cacheSize / 2 / source.index.sizes.max);
    this.#readAhead = Math.min(options.readAhead ?? 32, Math.max(most, 1));
    this.#signal = options.signal;
  }

  /** Bytes. */
  get size(): number {
    return this.#source.index.totalSize;
  }

  /**
   * The bytes of a range, which must be inside the image.
   * @throws as ChunkSource.get(); AbortedError; RangeError
   */
  async read(offset: number, length: number): Promise<Uint8Array> {
    const pieces = await this.pieces(offset, length);
    const [first] = pieces;
    return pieces.length === 1 && first !== undefined ? first : concatBytes(pieces);
  }

  /** As read(), in pieces: views of chunks, which are not to be changed. */
  async pieces(offset: number, length: number): Promise<readonly Uint8Array[]> {
    throwIfAborted(this.#signal);
    this.#check(offset, length);
    const { index } = this.#source;
    if (length === 0) return [];
    const [first, last] = [index.find(offset), index.find(offset + length - 1)];
    const stream = this.#stream(first, last, length);
    const wanted: Promise<Uint8Array>[] = [];
    for (let i = first; i <= last; i++) wanted.push(this.#fetch(i, false));
    if (stream.ahead > 0) {
      const end = Math.min(index.count, last + 1 + stream.ahead);
      const isLong = stream.bytes >= worthThreads;
      for (let i = last + 1; i < end; i++) void this.#fetch(i, isLong);
    }
    this.#waiting++;
    try {
      const chunks = await Promise.all(wanted);
      return chunks.map((chunk, k) => {
        const start = index.start(first + k);
        return chunk.subarray(Math.max(offset - start, 0), offset + length - start);
      });
    } finally {
      this.#waiting--;
    }
  }

  /** What a range consists of, in order; neighbours of a kind are joined. Nothing is read. */
  *extents(offset: number, length: number): Generator<ImageExtent, void> {
    this.#check(offset, length);
    const { index } = this.#source;
    const end = offset + length;
    let extent: ImageExtent | undefined;
    for (let at = offset; at < end;) {
      const i = index.find(at);
      const next = Math.min(index.end(i), end);
      const isZero = this.#source.isZero(i);
      if (extent?.isZero === isZero) extent = { ...extent, length: next - extent.offset };
      else {
        if (extent !== undefined) yield extent;
        extent = { offset: at, length: next - at, isZero };
      }
      at = next;
    }
    if (extent !== undefined) yield extent;
  }

  /** Whether somebody waits for a chunk. */
  get isBusy(): boolean {
    return this.#waiting > 0;
  }

  /** Ends the threads. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#threads?.[Symbol.asyncDispose]();
  }

  /** Who reads these chunks. Reads that are under way at once come in about the order that they were meant in. */
  #stream(first: number, last: number, length: number): Stream {
    const reach = (stream: Stream): boolean =>
      first >= stream.expected - 1 - stream.ahead && first <= stream.expected + stream.ahead;
    const at = this.#streams.findLastIndex(reach);
    const stream = this.#streams.splice(at, at < 0 ? 0 : 1)[0] ?? { expected: 0, ahead: 0, bytes: 0 };
    if (at >= 0) {
      stream.ahead = Math.min(Math.max(stream.ahead * 2, firstAhead), this.#readAhead);
      stream.bytes += length;
    }
    stream.expected = Math.max(stream.expected, last + 1);
    this.#streams.push(stream);
    if (this.#streams.length > mostStreams) this.#streams.shift();
    return stream;
  }

  #check(offset: number, length: number): void {
    if (offset >= 0 && length >= 0 && offset + length <= this.size) return;
    throw new RangeError(`${length} bytes at ${offset} are outside of the image of ${this.size} bytes`);
  }

  #fetch(i: number, byThreads: boolean): Promise<Uint8Array> {
    const known = this.#chunks.get(i);
    if (known !== undefined) {
      this.#chunks.delete(i);
      this.#chunks.set(i, known);
      return known;
    }
    const size = this.#source.index.size(i);
    const chunk = this.#get(i, byThreads);
    this.#chunks.set(i, chunk);
    this.#cached += size;
    for (const old of this.#chunks.keys()) {
      if (this.#cached <= this.#cacheSize || old === i) break;
      this.#forget(old);
    }
    // One that could not be had is asked for again; an error is its reader's, and one ahead has none.
    chunk.catch(() => this.#chunks.get(i) === chunk && this.#forget(i));
    return chunk;
  }

  async #get(i: number, byThreads: boolean): Promise<Uint8Array> {
    const signal = this.#signal;
    const source = this.#source;
    if (signal?.aborted === true) throw abortedError(signal);
    if (source.isZero(i)) return new Uint8Array(source.index.size(i));
    if (byThreads && ChunkThreads.canHelp(source)) {
      this.#threads ??= new ChunkThreads(source, signal);
      return this.#threads.get(i);
    }
    return source.getNow(i) ?? (await source.get(i, signal));
  }

  #forget(i: number): void {
    if (this.#chunks.delete(i)) this.#cached -= this.#source.index.size(i);
  }
}
