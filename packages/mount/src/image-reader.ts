/**
 * An image that is read at any place without being there: its chunks are fetched as they are needed, the
 * next ones meanwhile, and kept within a bounded memory. Every chunk is verified before its bytes are seen.
 * @module
 */
import { abortedError, throwIfAborted } from "@imgtool/core";
import type { ChunkSource } from "@imgtool/sync";

export interface ImageReaderOptions {
  /** Bytes of chunks that are kept. Default 64 MiB; never less than two chunks. */
  readonly cacheSize?: number | undefined;
  /** Chunks that are fetched ahead of a reader who goes on where he was. Default 8. */
  readonly readAhead?: number | undefined;
  /** Ends everything that waits. */
  readonly signal?: AbortSignal | undefined;
}

/** A range of an image: bytes, and whether they are known to be zeros without having been read. */
export interface ImageExtent {
  readonly offset: number;
  readonly length: number;
  readonly isZero: boolean;
}

export class ImageReader {
  readonly #source: ChunkSource;
  readonly #cacheSize: number;
  readonly #readAhead: number;
  readonly #signal: AbortSignal | undefined;
  /** Chunks that are there or on their way, the least recently used first. */
  readonly #chunks = new Map<number, Promise<Uint8Array>>();
  #cached = 0;
  /** The chunk behind the last one that was read: who asks for it reads in order. */
  #expected = -1;

  constructor(source: ChunkSource, options: ImageReaderOptions = {}) {
    this.#source = source;
    this.#cacheSize = Math.max(options.cacheSize ?? 64 * 1024 ** 2, 2 * source.index.sizes.max);
    this.#readAhead = options.readAhead ?? 8;
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
    throwIfAborted(this.#signal);
    this.#check(offset, length);
    const { index } = this.#source;
    const bytes = new Uint8Array(length);
    if (length === 0) return bytes;
    const [first, last] = [index.find(offset), index.find(offset + length - 1)];
    const isInOrder = first === this.#expected || first === this.#expected - 1;
    this.#expected = last + 1;
    const end = Math.min(index.count, last + 1 + (isInOrder ? this.#readAhead : 0));
    const wanted: Promise<Uint8Array>[] = [];
    for (let i = first; i < end; i++) {
      const chunk = this.#fetch(i);
      if (i <= last) wanted.push(chunk);
    }
    for (const [k, chunk] of wanted.entries()) {
      const start = index.start(first + k);
      const from = Math.max(offset - start, 0);
      const part = (await chunk).subarray(from, offset + length - start);
      bytes.set(part, start + from - offset);
    }
    return bytes;
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

  #check(offset: number, length: number): void {
    if (offset >= 0 && length >= 0 && offset + length <= this.size) return;
    throw new RangeError(`${length} bytes at ${offset} are outside of the image of ${this.size} bytes`);
  }

  #fetch(i: number): Promise<Uint8Array> {
    const known = this.#chunks.get(i);
    if (known !== undefined) {
      this.#chunks.delete(i);
      this.#chunks.set(i, known);
      return known;
    }
    const size = this.#source.index.size(i);
    const chunk = this.#get(i);
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

  async #get(i: number): Promise<Uint8Array> {
    const signal = this.#signal;
    if (signal?.aborted === true) throw abortedError(signal);
    if (this.#source.isZero(i)) return new Uint8Array(this.#source.index.size(i));
    return this.#source.getNow(i) ?? (await this.#source.get(i, signal));
  }

  #forget(i: number): void {
    if (this.#chunks.delete(i)) this.#cached -= this.#source.index.size(i);
  }
}
