/**
 * Bytes elsewhere that are read from any place, each request a round trip: blocks are kept for a while, and
 * more of them are asked for at once when reading goes on where it was.
 * @module
 */
import type { RandomAccess } from "./tree/browse.ts";

const blockSize = 64 * 1024;
/** Most blocks of a request. */
const longestRun = 64;
/** Blocks that are kept: 16 MiB. */
const keptBlocks = 256;
/** Bytes of a request when everything is read in order. */
const streamSize: number = 4 * 1024 ** 2;

export class RangedSource implements RandomAccess, AsyncIterable<Uint8Array> {
  readonly name: string;
  readonly size: number;
  readonly #access: RandomAccess;
  /** The blocks that were used last, by their number. */
  readonly #blocks = new Map<number, Promise<Uint8Array>>();
  /** The block behind the last request, and how many that one had. */
  #next = 0;
  #run = 1;

  constructor(access: RandomAccess) {
    this.#access = access;
    this.name = access.name;
    this.size = access.size;
  }

  /** Bytes from an offset below the size on: as many as are there without another request. */
  async piece(offset: number): Promise<Uint8Array> {
    const number = Math.floor(offset / blockSize);
    return (await this.#block(number)).subarray(offset - number * blockSize);
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    if (length >= streamSize) return this.#access.read(offset, length);
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const piece = await this.piece(offset + done);
      bytes.set(piece.subarray(0, length - done), done);
      done += piece.length;
    }
    return bytes;
  }

  /** The bytes of a range in order; the next are on their way while these are used. */
  async *stream(from: number, to: number): AsyncGenerator<Uint8Array, void> {
    const ask = (at: number): Promise<Uint8Array> | undefined => {
      const asked = at < to ? this.#access.read(at, Math.min(streamSize, to - at)) : undefined;
      // Nobody may come for it.
      asked?.catch(() => {});
      return asked;
    };
    let at = from;
    for (let asked = ask(at); asked !== undefined;) {
      const bytes = await asked;
      at += bytes.length;
      asked = ask(at);
      yield bytes;
    }
  }

  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    return this.stream(0, this.size);
  }

  #block(number: number): Promise<Uint8Array> {
    const known = this.#blocks.get(number);
    if (known !== undefined) {
      this.#blocks.delete(number);
      this.#blocks.set(number, known);
      return known;
    }
    this.#ask(number);
    return this.#blocks.get(number) as Promise<Uint8Array>;
  }

  /** Asks for a block, and for some behind it when it lies behind the last ones. */
  #ask(first: number): void {
    this.#run = first === this.#next ? Math.min(2 * this.#run, longestRun) : 1;
    const start = first * blockSize;
    const asked = this.#access.read(start, Math.min(this.#run * blockSize, this.size - start));
    this.#next = first + this.#run;
    for (let number = first; number < this.#next && number * blockSize < this.size; number++) {
      const from = number * blockSize - start;
      const block = asked.then((bytes) => bytes.subarray(from, from + blockSize));
      block.catch(() => this.#blocks.delete(number));
      this.#blocks.set(number, block);
    }
    for (const oldest of this.#blocks.keys()) {
      if (this.#blocks.size <= keptBlocks) break;
      this.#blocks.delete(oldest);
    }
  }
}
