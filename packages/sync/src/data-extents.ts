/**
 * Which parts of a chunk have to be written to a file that reads as zeros.
 * @module
 */

/** Zeros are left out in whole pages: file systems allocate no less. */
const pageSize = 4096;
const zeroPage: Buffer = Buffer.alloc(pageSize);

/**
 * The ranges [from, to) of the bytes that are not whole pages of zeros, where byte 0 lies at
 * `offset` of the file.
 */
export function dataExtents(bytes: Uint8Array, offset: number): (readonly [number, number])[] {
  const extents: (readonly [number, number])[] = [];
  let start = -1;
  for (let at = 0; at < bytes.length;) {
    const next = Math.min(bytes.length, at + pageSize - ((offset + at) % pageSize));
    // most pages that are not zero show it in their first byte
    const isZero = bytes[at] === 0 && Buffer.compare(bytes.subarray(at, next), zeroPage.subarray(0, next - at)) === 0;
    if (isZero && start >= 0) {
      extents.push([start, at]);
      start = -1;
    } else if (!isZero && start < 0) start = at;
    at = next;
  }
  if (start >= 0) extents.push([start, bytes.length]);
  return extents;
}
