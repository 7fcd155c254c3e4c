/**
 * Content-defined cutting with casync's Buzhash: a chunk ends where the hash of its last 48 bytes
 * says so, thus an insertion moves the cuts near it and no others.
 *
 * The hash of a window is the XOR over i of rol32(T[b_i], 47 − i); it starts anew with each chunk.
 * @module
 */
import {
  type CutterMemory,
  type DivisionTest,
  divisionTest,
  entering,
  pieceSize,
  type RollingScan,
  rollingScan,
} from "./rolling-scan.ts";
import { type ChunkSizes, discriminator, windowSize } from "./sizes.ts";

/**
 * Finds the ends of chunks in a stream that comes in slices of any lengths; the cuts do not depend
 * on the slices.
 *
 * @example
 * const cutter = new Cutter(chunkSizes());
 * for (let from = 0, cut; (cut = cutter.next(bytes, from)) >= 0; from += cut) use(bytes.subarray(from, from + cut));
 */
export class Cutter {
  readonly sizes: ChunkSizes;
  readonly #discriminator: number;
  readonly #scan: RollingScan;
  /** Length at which the first cut is tried. */
  readonly #first: number;
  readonly #fixed: boolean;
  #length = 0;

  /**
   * @param memory bytes that lie in it are not copied
   * @param scan another implementation of the hot loop: for tests
   */
  constructor(
    sizes: ChunkSizes,
    memory?: CutterMemory,
    scan: (test: DivisionTest, memory?: CutterMemory) => RollingScan = rollingScan,
  ) {
    this.sizes = sizes;
    this.#discriminator = discriminator(sizes);
    this.#scan = scan(divisionTest(this.#discriminator), memory);
    this.#first = Math.max(sizes.min, windowSize);
    this.#fixed = sizes.min === sizes.max;
  }

  /** Bytes of the chunk that is not cut yet; 0 at its start. What remains of a stream is its last chunk. */
  get pending(): number {
    return this.#length;
  }

  /** Forgets the chunk under way: the next byte starts a stream. */
  reset(): void {
    this.#length = 0;
  }

  /**
   * Looks for the end of the current chunk in bytes[from, to).
   * @returns how many of these bytes belong to the chunk when it ends here, or −1 when it takes all
   *   of them and goes on
   */
  next(bytes: Uint8Array, from = 0, to: number = bytes.length): number {
    if (this.#fixed) return this.#nextFixed(to - from);
    const start = this.#length;
    let at = from;
    if (start < this.#first) {
      const filled = this.#fillWindow(bytes, from, to);
      if (this.#length < this.#first) return -1;
      at = from + filled;
      if (this.#length >= this.sizes.max || this.#isBoundary()) return this.#cut(filled);
    }
    const end = Math.min(to, at + this.sizes.max - this.#length);
    const cut = this.#roll(bytes, from, at, end);
    if (cut >= 0) return this.#cut(cut - from);
    this.#length += end - at;
    if (this.#length >= this.sizes.max) return this.#cut(end - from);
    return -1;
  }

  #cut(count: number): number {
    this.#length = 0;
    return count;
  }

  #nextFixed(available: number): number {
    const missing = this.sizes.max - this.#length;
    if (available >= missing) return this.#cut(missing);
    this.#length += available;
    return -1;
  }

  /** Skips to the window that ends at length `#first` and hashes it; returns the bytes consumed. */
  #fillWindow(bytes: Uint8Array, from: number, to: number): number {
    const count = Math.min(to - from, this.#first - this.#length);
    const windowStart = this.#first - windowSize;
    const skipped = Math.min(count, Math.max(0, windowStart - this.#length));
    const position = this.#length + skipped - windowStart;
    if (count > skipped) this.#scan.buffer.set(bytes.subarray(from + skipped, from + count), position);
    this.#length += count;
    if (this.#length === this.#first) this.#hashWindow();
    return count;
  }

  #hashWindow(): void {
    const scan = this.#scan;
    let hash = 0;
    for (let i = 0; i < windowSize; i++) {
      hash = ((hash << 1) | (hash >>> 31)) ^ (entering[scan.buffer[i] as number] as number);
    }
    scan.hash = hash;
  }

  /**
   * Rolls the hash over bytes[at, end), which are no more than the chunk may still take.
   * @param from where bytes of the stream begin
   * @returns the position after the byte that makes a cut, or −1
   */
  #roll(bytes: Uint8Array, from: number, at: number, end: number): number {
    const scan = this.#scan;
    if (!scan.takes(bytes)) return this.#rollCopy(bytes, at, end);
    // The window is the buffer's until it lies in these bytes.
    const inside = Math.min(Math.max(at, from + windowSize), end);
    if (inside > at) {
      const found = this.#rollCopy(bytes, at, inside);
      if (found >= 0) return found;
    }
    if (inside === end) return -1;
    let found = scan.scanIn(bytes, inside, end);
    while (found >= 0 && !this.#isBoundary()) found = scan.scanIn(bytes, found, end);
    if (found < 0) scan.buffer.set(bytes.subarray(end - windowSize, end));
    return found;
  }

  /** As #roll(), through the buffer. */
  #rollCopy(bytes: Uint8Array, at: number, end: number): number {
    const scan = this.#scan;
    for (let position = at; position < end;) {
      const length = Math.min(end - position, pieceSize);
      scan.buffer.set(bytes.subarray(position, position + length), windowSize);
      let found = scan.scan(0, length);
      while (found >= 0 && !this.#isBoundary()) found = scan.scan(found, length);
      if (found >= 0) return position + found;
      scan.buffer.copyWithin(0, length, length + windowSize);
      position += length;
    }
    return -1;
  }

  #isBoundary(): boolean {
    return (this.#scan.hash >>> 0) % this.#discriminator === this.#discriminator - 1;
  }
}
