/**
 * Reads chunk indexes and refuses whatever casync refuses: an index may come from anywhere.
 * @module
 */
import { FormatError } from "@imgtool/core";
import { ChunkIndex } from "./chunk-index.ts";
import { digestLength } from "./digest.ts";
import {
  entriesOffset,
  entrySize,
  headerSize,
  indexFileSize,
  indexType,
  knownFlags,
  tableHeaderSize,
  tableType,
  tailMark,
  tailSize,
  unknownTableSize,
} from "./index-layout.ts";
import { type ChunkSizes, maxChunkSize } from "./sizes.ts";

export interface DecodeIndexOptions {
  /** What the bytes are, for messages: a path or URL. Default "index". */
  readonly name?: string;
}

/**
 * The index in a `.caibx` or `.caidx` file.
 *
 * That the flags of a `.caidx` are in normal form is checked with the archive, whose features they are.
 * @throws FormatError `index-truncated`, `index-invalid`, `index-flags-unknown`; `data` has `offset`,
 *   `expected` and `found`
 */
export function decodeIndex(bytes: Uint8Array, options: DecodeIndexOptions = {}): ChunkIndex {
  const reader = new Reader(bytes, options.name ?? "index");
  reader.need(indexFileSize(0));
  reader.expect(0, BigInt(headerSize), "the size of the header");
  reader.expect(8, indexType, "the type of a chunk index");
  const flags = reader.flags(16);
  const sizes = reader.sizes(24);
  reader.expect(48, unknownTableSize, "the size of the chunk table");
  reader.expect(56, tableType, "the type of the chunk table");
  const count = reader.tail();
  const ends = new Float64Array(count);
  const ids = new Uint8Array(count * digestLength);
  let previous = 0;
  for (let i = 0; i < count; i++) {
    const at = entriesOffset + i * entrySize;
    const end = reader.number(at);
    if (!(end > previous)) {
      reader.fail(at, `chunk ${i} ends where it begins or before`, `more than ${previous}`, end);
    }
    if (end - previous > sizes.max) {
      reader.fail(at, `chunk ${i} is larger than the maximum`, `at most ${sizes.max} bytes`, end - previous);
    }
    ends[i] = previous = end;
    ids.set(bytes.subarray(at + 8, at + entrySize), i * digestLength);
  }
  return new ChunkIndex({ flags, sizes, ends, ids });
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #name: string;

  constructor(bytes: Uint8Array, name: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#name = name;
  }

  fail(offset: number, what: string, expected: string, found: string | number, code = "index-invalid"): never {
    throw new FormatError(`${this.#name}, offset ${offset}: ${what}: expected ${expected}, found ${found}`, {
      code,
      data: { file: this.#name, offset, expected, found },
      hint: code === "index-truncated" ? "the file is incomplete: copy or publish it again" : "this is no chunk index",
    });
  }

  need(length: number): void {
    const found = this.#bytes.length;
    if (found < length) this.fail(found, "the index ends early", `${length} bytes`, found, "index-truncated");
  }

  expect(offset: number, expected: bigint, what: string): void {
    const found = this.#view.getBigUint64(offset, true);
    if (found !== expected) this.fail(offset, `not ${what}`, hex(expected), hex(found));
  }

  /** The word at an offset; Infinity where a double cannot hold it, which no check lets pass. */
  number(offset: number): number {
    const high = this.#view.getUint32(offset + 4, true);
    return high >= 2 ** 21 ? Infinity : high * 2 ** 32 + this.#view.getUint32(offset, true);
  }

  flags(offset: number): bigint {
    const flags = this.#view.getBigUint64(offset, true);
    if ((flags & ~knownFlags) !== 0n) {
      const code = "index-flags-unknown";
      this.fail(offset, "unknown feature flags", `none beyond ${hex(knownFlags)}`, hex(flags), code);
    }
    return flags;
  }

  sizes(offset: number): ChunkSizes {
    const [min, avg, max] = [this.number(offset), this.number(offset + 8), this.number(offset + 16)];
    for (const [i, size] of [min, avg, max].entries()) {
      const what = `${["minimum", "average", "maximum"][i]} chunk size out of range`;
      if (!(size >= 1 && size <= maxChunkSize)) this.fail(offset + 8 * i, what, `1 to ${maxChunkSize}`, size);
    }
    if (min > avg) this.fail(offset, "minimum chunk size above the average", `at most ${avg}`, min);
    if (max < avg) this.fail(offset + 16, "maximum chunk size below the average", `at least ${avg}`, max);
    return { min, avg, max };
  }

  /** Checks the tail; returns the number of chunks. */
  tail(): number {
    const length = this.#bytes.length;
    const offset = length - tailSize;
    const found = this.#view.getBigUint64(length - 8, true);
    if (found !== tailMark) {
      this.fail(length - 8, "the chunk table has no end", hex(tailMark), hex(found), "index-truncated");
    }
    const entries = offset - entriesOffset;
    if (entries % entrySize !== 0) {
      this.fail(offset, "the chunk table is no whole number of entries", `a multiple of ${entrySize}`, entries);
    }
    this.expect(offset, 0n, "the end of the chunk table");
    this.expect(offset + 8, 0n, "the end of the chunk table");
    this.expect(offset + 16, BigInt(headerSize), "the offset of the chunk table");
    this.expect(offset + 24, BigInt(tableHeaderSize + entries + tailSize), "the size of the chunk table");
    return entries / entrySize;
  }
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
