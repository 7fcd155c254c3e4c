/**
 * Writes chunk indexes, piece by piece: head, entries as the chunks come, tail.
 * @module
 */
import { type ChunkIndex } from "./chunk-index.ts";
import { digestLength } from "./digest.ts";
import {
  entriesOffset,
  entrySize,
  headerSize,
  indexFileSize,
  indexType,
  tableHeaderSize,
  tableType,
  tailMark,
  tailSize,
  unknownTableSize,
} from "./index-layout.ts";
import type { ChunkSizes } from "./sizes.ts";

/**
 * Encodes an index whose chunks become known one by one.
 *
 * @example
 * const encoder = new IndexEncoder(blobFlags(), chunkSizes());
 * write(encoder.head());
 * write(encoder.entry(size, id)); // for each chunk
 * write(encoder.tail());
 */
export class IndexEncoder {
  readonly #flags: bigint;
  readonly #sizes: ChunkSizes;
  #end = 0;
  #count = 0;

  constructor(flags: bigint, sizes: ChunkSizes) {
    this.#flags = flags;
    this.#sizes = sizes;
  }

  /** Bytes of the stream described so far. */
  get totalSize(): number {
    return this.#end;
  }

  /** Chunks described so far. */
  get count(): number {
    return this.#count;
  }

  /** The 64 bytes before the first entry. */
  head(): Uint8Array<ArrayBuffer> {
    const { min, avg, max } = this.#sizes;
    return words(
      BigInt(headerSize),
      indexType,
      this.#flags,
      BigInt(min),
      BigInt(avg),
      BigInt(max),
      unknownTableSize,
      tableType,
    );
  }

  /**
   * The 40 bytes of the next chunk.
   * @param size its length in bytes, 1 to the maximum
   * @param id its 32-byte digest
   */
  entry(size: number, id: Uint8Array): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(entrySize);
    this.entryInto(bytes, 0, size, id);
    return bytes;
  }

  /** As entry(), into 40 bytes of a buffer from an offset on. */
  entryInto(target: Uint8Array, offset: number, size: number, id: Uint8Array): void {
    if (!Number.isInteger(size) || size < 1 || size > this.#sizes.max) {
      throw new RangeError(`chunk ${this.#count} has ${size} bytes, expected 1 to ${this.#sizes.max}`);
    }
    if (id.length !== digestLength) throw new RangeError(`id has ${id.length} bytes, expected ${digestLength}`);
    this.#end += size;
    this.#count++;
    const view = new DataView(target.buffer, target.byteOffset + offset, entrySize);
    view.setUint32(0, this.#end % 2 ** 32, true);
    view.setUint32(4, Math.floor(this.#end / 2 ** 32), true);
    target.set(id, offset + 8);
  }

  /** The 40 bytes after the last entry. */
  tail(): Uint8Array<ArrayBuffer> {
    return words(0n, 0n, BigInt(headerSize), BigInt(tableHeaderSize + entrySize * this.#count + tailSize), tailMark);
  }
}

/** The index file of a ChunkIndex, as one array. */
export function encodeIndex(index: ChunkIndex): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(indexFileSize(index.count));
  const encoder = new IndexEncoder(index.flags, index.sizes);
  bytes.set(encoder.head());
  for (let i = 0; i < index.count; i++) {
    encoder.entryInto(bytes, entriesOffset + i * entrySize, index.size(i), index.id(i));
  }
  bytes.set(encoder.tail(), bytes.length - tailSize);
  return bytes;
}

function words(...values: readonly bigint[]): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(values.length * 8));
  for (const [i, value] of values.entries()) view.setBigUint64(i * 8, value, true);
  return new Uint8Array(view.buffer);
}
