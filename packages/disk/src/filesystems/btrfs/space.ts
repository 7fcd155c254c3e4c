/**
 * Which addresses hold what. Addresses of the file system are those of the device: one system chunk
 * after the first MiB, data from a fixed place on in chunks of 1 GiB as the kernel makes them, and
 * metadata behind the data, whose extents therefore do not depend on it. Copies of the superblock are
 * stepped over.
 * @module
 */
import { chunkTypes, sectorSize, stripeLength, type Chunk } from "./format.ts";

const mebibyte: number = 1024 ** 2;
const gibibyte: number = 1024 ** 3;
export const systemChunk: Chunk = { start: mebibyte, length: 4 * mebibyte, type: chunkTypes.system };
export const dataStart: number = systemChunk.start + systemChunk.length;
/** Where superblocks are; each keeps 64 KiB to itself. */
export const superblocks: readonly number[] = [65_536, 64 * mebibyte, 256 * gibibyte];
const chunkLength = gibibyte;
const longestExtent = 128 * mebibyte;

export interface Range {
  readonly start: number;
  readonly length: number;
}

export function alignUp(value: number, grain: number): number {
  return Math.ceil(value / grain) * grain;
}

/** The next address from which `length` bytes can be used in one piece. */
export function stepOver(address: number, length: number): number {
  for (const copy of superblocks)
    if (address < copy + stripeLength && address + length > copy) return copy + stripeLength;
  return address;
}

/** Hands out data extents in ascending order. */
export class DataSpace {
  readonly extents: Range[] = [];
  #next = dataStart;

  /** Extents for a run of whole sectors. */
  allocate(length: number): Range[] {
    const own: Range[] = [];
    for (let left = length; left > 0;) {
      this.#next = stepOver(this.#next, sectorSize);
      const chunkEnd = dataStart + (Math.floor((this.#next - dataStart) / chunkLength) + 1) * chunkLength;
      const next = this.#next;
      const copy = superblocks.find((one) => one > next) ?? Infinity;
      const extent = { start: next, length: Math.min(left, longestExtent, chunkEnd - next, copy - next) };
      own.push(extent);
      this.#next += extent.length;
      left -= extent.length;
    }
    this.extents.push(...own);
    return own;
  }

  /** One extent that nothing cuts, of at most 128 KiB. */
  allocateWhole(length: number): Range {
    const start = stepOver(this.#next, length);
    const left = chunkLength - ((start - dataStart) % chunkLength);
    this.#next = left < length ? stepOver(start + left, length) : start;
    const extent = { start: this.#next, length };
    this.extents.push(extent);
    this.#next += length;
    return extent;
  }

  /** The chunks, the last one cut to what is used. */
  chunks(): Chunk[] {
    const chunks: Chunk[] = [];
    const end = alignUp(this.#next, stripeLength);
    for (let start = dataStart; start < end; start += chunkLength)
      chunks.push({ start, length: Math.min(chunkLength, end - start), type: chunkTypes.data });
    return chunks;
  }

  /** Ranges without gaps that hold all data. */
  ranges(): Range[] {
    return joinRanges(this.extents);
  }

  /** Where metadata can begin. */
  get end(): number {
    return alignUp(this.#next, stripeLength);
  }
}

/** Neighbours joined; from ascending ranges. */
function joinRanges(ranges: readonly Range[]): Range[] {
  const joined: { start: number; length: number }[] = [];
  for (const { start, length } of ranges) {
    const last = joined.at(-1);
    if (last !== undefined && last.start + last.length === start) last.length += length;
    else joined.push({ start, length });
  }
  return joined;
}

/** What is left of a chunk beside ascending ranges. */
export function freeRanges(chunk: Chunk, used: readonly Range[]): Range[] {
  const free: Range[] = [];
  const end = chunk.start + chunk.length;
  let at = chunk.start;
  for (const { start, length } of joinRanges(used)) {
    if (start + length <= chunk.start || start >= end) continue;
    if (start > at) free.push({ start: at, length: start - at });
    at = Math.min(end, start + length);
  }
  if (at < end) free.push({ start: at, length: end - at });
  return free;
}
