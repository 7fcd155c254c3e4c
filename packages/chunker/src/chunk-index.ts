/**
 * A chunk index in memory: 40 bytes a chunk in two typed arrays, so that an index of a million
 * chunks (64 GiB of content) takes 40 MB and no garbage collection.
 * @module
 */
import { toHex } from "@imgtool/core";
import { type DigestAlgorithm, digestLength } from "./digest.ts";
import { digestOfFlags } from "./index-layout.ts";
import type { ChunkSizes } from "./sizes.ts";

export interface ChunkIndexParts {
  readonly flags: bigint;
  readonly sizes: ChunkSizes;
  /** Where each chunk ends in the stream, in bytes; increasing. */
  readonly ends: Float64Array;
  /** The 32-byte ids one after the other. */
  readonly ids: Uint8Array;
}

/** Which chunks, in which order, make a stream. Immutable. */
export class ChunkIndex {
  /** Feature flags: the digest, and what the archive records. */
  readonly flags: bigint;
  /** What the stream was cut with, in bytes. */
  readonly sizes: ChunkSizes;
  readonly digest: DigestAlgorithm;
  /** Number of chunks. */
  readonly count: number;
  readonly #ends: Float64Array;
  readonly #ids: Uint8Array;

  /** The parts are trusted; bytes from elsewhere go through decodeIndex(). */
  constructor(parts: ChunkIndexParts) {
    this.flags = parts.flags;
    this.sizes = parts.sizes;
    this.digest = digestOfFlags(parts.flags);
    this.count = parts.ends.length;
    this.#ends = parts.ends;
    this.#ids = parts.ids;
  }

  /** Length of the stream in bytes. */
  get totalSize(): number {
    return this.count === 0 ? 0 : this.end(this.count - 1);
  }

  /** Offset of chunk i's first byte in the stream. */
  start(i: number): number {
    return i === 0 ? 0 : this.end(i - 1);
  }

  /** Offset after chunk i's last byte in the stream. */
  end(i: number): number {
    const end = this.#ends[i];
    if (end === undefined) throw new RangeError(`chunk ${i} of an index with ${this.count} chunks`);
    return end;
  }

  /** Length of chunk i in bytes. */
  size(i: number): number {
    return this.end(i) - this.start(i);
  }

  /** The 32-byte id of chunk i: a view, not to be changed. */
  id(i: number): Uint8Array {
    if (i < 0 || i >= this.count) throw new RangeError(`chunk ${i} of an index with ${this.count} chunks`);
    return this.#ids.subarray(i * digestLength, (i + 1) * digestLength);
  }

  /** The id of chunk i as 64 lower-case hexadecimal digits: its name in a store. */
  name(i: number): string {
    return toHex(this.id(i));
  }

  /** The chunk that holds the byte at an offset of the stream. */
  find(offset: number): number {
    if (offset < 0 || offset >= this.totalSize) {
      throw new RangeError(`offset ${offset} in a stream of ${this.totalSize} bytes`);
    }
    let low = 0;
    let high = this.count - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.end(middle) > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
