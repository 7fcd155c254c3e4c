/**
 * Which parts of a chunk have to be written to a file that has something already: zeros, or the bytes
 * of before.
 * @module
 */

/** What need not be written is left out in whole pages: file systems allocate no less. */
export const pageSize = 4096;
const zeroPage: Buffer = Buffer.alloc(pageSize);

/** A range of bytes in memory: from, and the index behind it. */
type Extent = readonly [from: number, to: number];

/**
 * The ranges of the bytes that are not whole pages of zeros, where byte 0 lies at `offset` of the file.
 */
export function dataExtents(bytes: Uint8Array, offset: number): Extent[] {
  // most pages that are not zero show it in their first byte
  const isZero = (from: number, to: number): boolean =>
    bytes[from] === 0 && Buffer.compare(bytes.subarray(from, to), zeroPage.subarray(0, to - from)) === 0;
  return extentsWithout(bytes.length, offset, isZero);
}

/** The ranges of the bytes whose pages differ from those that are there. */
export function changedExtents(bytes: Uint8Array, there: Uint8Array, offset: number): Extent[] {
  const isEqual = (from: number, to: number): boolean =>
    to <= there.length && Buffer.compare(bytes.subarray(from, to), there.subarray(from, to)) === 0;
  return extentsWithout(bytes.length, offset, isEqual);
}

function extentsWithout(length: number, offset: number, isLeftOut: (from: number, to: number) => boolean): Extent[] {
  const extents: Extent[] = [];
  let start = -1;
  for (let at = 0; at < length;) {
    const next = Math.min(length, at + pageSize - ((offset + at) % pageSize));
    const leftOut = isLeftOut(at, next);
    if (leftOut && start >= 0) {
      extents.push([start, at]);
      start = -1;
    } else if (!leftOut && start < 0) start = at;
    at = next;
  }
  if (start >= 0) extents.push([start, length]);
  return extents;
}
