/**
 * GOODBYE: the table that closes a directory, for finding a name without reading the directory. Its
 * items are sorted by the hash of the name and stored as a left-complete binary search tree in heap
 * order (children of item i at 2i+1 and 2i+2); a tail of the same size says where the directory began.
 * @module
 */
import { compareBytes, fromHex } from "@imgtool/core";
import { CatarError } from "./errors.ts";
import { u64, type RawRecord } from "./fields.ts";
import { encodeRecord, headerSize } from "./records.ts";
import { sipHash24 } from "./siphash.ts";

const hashKey = fromHex("b3841d0f2b447485c12ec2d130ed3627");
const tailMarker = 0x57446fa533702943n;

/** Bytes of an item and of the tail. */
export const goodbyeItemSize = 24;

/** Where a child stands in the archive; offsets in bytes. */
export interface GoodbyeChild {
  /** Offset of its FILENAME record. */
  readonly start: number;
  /** Offset behind its last record. */
  readonly end: number;
  /** hashName of its name. */
  readonly hash: bigint;
}

/** The hash under which GOODBYE lists a name (without NUL). */
export function hashName(name: Uint8Array): bigint {
  return sipHash24(hashKey, name);
}

/** Size of the whole GOODBYE record of a directory with so many children. */
export function goodbyeSize(children: number): number {
  return headerSize + goodbyeItemSize * (children + 1);
}

/**
 * The GOODBYE record of a directory.
 * @param entryStart offset of the directory's ENTRY record
 * @param goodbyeStart offset at which this record will stand
 */
export function encodeGoodbye(
  children: readonly GoodbyeChild[],
  entryStart: number,
  goodbyeStart: number,
): Uint8Array<ArrayBuffer> {
  const body = new Uint8Array(goodbyeItemSize * (children.length + 1));
  const view = new DataView(body.buffer);
  const put = (index: number, first: bigint, second: bigint, third: bigint): void => {
    view.setBigUint64(index * goodbyeItemSize, first, true);
    view.setBigUint64(index * goodbyeItemSize + 8, second, true);
    view.setBigUint64(index * goodbyeItemSize + 16, third, true);
  };
  for (const [index, child] of searchTree(children).entries()) {
    put(index, BigInt(goodbyeStart - child.start), BigInt(child.end - child.start), child.hash);
  }
  put(children.length, BigInt(goodbyeStart - entryStart), BigInt(goodbyeSize(children.length)), tailMarker);
  return encodeRecord("goodbye", body);
}

/** The children sorted by hash, laid out as a left-complete binary search tree in heap order. */
function searchTree(children: readonly GoodbyeChild[]): GoodbyeChild[] {
  const sorted = [...children].sort((a, b) => (a.hash < b.hash ? -1 : a.hash > b.hash ? 1 : a.start - b.start));
  const heap: GoodbyeChild[] = [...sorted];
  // Walking a complete tree in order meets its places in the order of the sorted items.
  let next = 0;
  const fill = (place: number): void => {
    if (place >= sorted.length) return;
    fill(2 * place + 1);
    heap[place] = sorted[next++] as GoodbyeChild;
    fill(2 * place + 2);
  };
  fill(0);
  return heap;
}

const fieldNames = ["offset", "size", "hash"] as const;
const tailNames = ["entry offset", "size", "marker"] as const;

/**
 * Compares a GOODBYE record with the children that were seen; its size has been checked before.
 * @throws CatarError `catar-goodbye` naming the item and field that lie
 */
export function checkGoodbye(record: RawRecord, children: readonly GoodbyeChild[], entryStart: number): void {
  const truth = encodeGoodbye(children, entryStart, record.offset).subarray(headerSize);
  if (compareBytes(truth, record.body) === 0) return;
  const expected = { ...record, body: truth };
  for (let at = 0; at < truth.length; at += 8) {
    if (u64(expected, at) === u64(record, at)) continue;
    const item = Math.floor(at / goodbyeItemSize);
    const field = (at % goodbyeItemSize) / 8;
    const place = item === children.length ? `tail: ${tailNames[field]}` : `item ${item}: ${fieldNames[field]}`;
    throw new CatarError("catar-goodbye", `GOODBYE does not fit the directory, ${place}`, {
      offset: record.offset,
      expected: `0x${u64(expected, at).toString(16)}`,
      found: `0x${u64(record, at).toString(16)}`,
    });
  }
}
