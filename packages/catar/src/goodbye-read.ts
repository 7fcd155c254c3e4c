/**
 * Reads GOODBYE tables where they stand, to find names without reading the directory: the last 24
 * bytes of a directory's archive tell where its table and its ENTRY begin.
 * @module
 */
import { CatarError } from "./errors.ts";
import { goodbyeItemSize, goodbyeSize, type GoodbyeChild } from "./goodbye.ts";
import { headerSize, recordTypes } from "./records.ts";

/** Bytes of the tail. */
export const goodbyeTailSize: number = goodbyeItemSize;

const tailMarker = 0x57446fa533702943n;
// Five million names: a table is read as a whole, and its size is the archive's word.
const largestTable = 128 * 1024 ** 2;

export interface GoodbyeTail {
  /** Offset of the GOODBYE record; it ends where the directory ends. */
  readonly start: number;
  /** Offset of the directory's ENTRY. */
  readonly entryStart: number;
}

/**
 * What the last bytes of a directory say.
 * @param tail goodbyeTailSize bytes
 * @param end offset behind them
 * @throws CatarError `catar-goodbye` when they are no tail, or name places before the archive
 */
export function readGoodbyeTail(tail: Uint8Array, end: number): GoodbyeTail {
  const view = new DataView(tail.buffer, tail.byteOffset, tail.byteLength);
  const [entryOffset, size, marker] = [0, 8, 16].map((at) => view.getBigUint64(at, true)) as [bigint, bigint, bigint];
  const at = { offset: end - goodbyeTailSize };
  if (marker !== tailMarker) {
    const expected = `0x${tailMarker.toString(16)}`;
    throw new CatarError("catar-goodbye", "a directory does not end with GOODBYE", {
      ...at,
      expected,
      found: `0x${marker.toString(16)}`,
    });
  }
  const largest = Math.min(largestTable, end);
  if (size < BigInt(goodbyeSize(0)) || size > BigInt(largest) || (size - BigInt(headerSize)) % 24n !== 0n) {
    const expected = `${goodbyeSize(0)} to ${largest} bytes, items of ${goodbyeItemSize}`;
    throw new CatarError("catar-goodbye", "GOODBYE has an impossible size", {
      ...at,
      expected,
      found: `${size} bytes`,
    });
  }
  const start = end - Number(size);
  if (entryOffset > BigInt(start)) {
    throw new CatarError("catar-goodbye", "GOODBYE names an ENTRY before the archive", {
      ...at,
      expected: `at most ${start}`,
      found: `${entryOffset}`,
    });
  }
  return { start, entryStart: start - Number(entryOffset) };
}

/**
 * All items of a whole GOODBYE record, in the order of the names.
 * @param record the record with its header and tail
 * @param start its offset
 * @throws CatarError `catar-goodbye` when an item lies outside the directory
 */
export function listGoodbye(record: Uint8Array, start: number, entryStart: number): readonly GoodbyeChild[] {
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  const type = view.getBigUint64(8, true);
  if (type !== recordTypes.goodbye || view.getBigUint64(0, true) !== BigInt(record.length)) {
    throw new CatarError("catar-goodbye", "a directory does not end with GOODBYE", {
      offset: start,
      expected: `0x${recordTypes.goodbye.toString(16)} of ${record.length} bytes`,
      found: `0x${type.toString(16)}`,
    });
  }
  const found: GoodbyeChild[] = [];
  for (let at = headerSize; at + goodbyeItemSize < record.length; at += goodbyeItemSize) {
    const hash = view.getBigUint64(at + 16, true);
    const back = view.getBigUint64(at, true);
    const size = view.getBigUint64(at + 8, true);
    if (back > BigInt(start - entryStart) || size > back) {
      throw new CatarError("catar-goodbye", "an item of GOODBYE lies outside the directory", {
        offset: start + at,
        expected: `at most ${start - entryStart} bytes before the table`,
        found: `${size} bytes, ${back} before the table`,
      });
    }
    found.push({ start: start - Number(back), end: start - Number(back) + Number(size), hash });
  }
  return found.sort((a, b) => a.start - b.start);
}
