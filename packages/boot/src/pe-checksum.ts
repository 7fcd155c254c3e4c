/**
 * The checksum in a PE file's optional header (Microsoft's PE format specification; computed by
 * IMAGHELP.DLL): 16-bit words added with carry, then the file's length. Firmware does not look at it;
 * signing tools set it.
 * @module
 */

/** Adds up a file's bytes in the order of the file. The checksum's own four bytes count as zero. */
export class PeChecksum {
  #sum = 0;
  #length = 0;

  /** Takes the next bytes; only the last ones may be of an odd length. */
  update(bytes: Uint8Array): void {
    if (this.#length % 2 !== 0) throw new RangeError("bytes after an odd length");
    const even = bytes.length & ~1;
    let sum = this.#sum;
    // 2^53 leaves room for 2^37 words before the carry must be folded in.
    for (let at = 0; at < even; at += 2) sum += (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
    if (even < bytes.length) sum += bytes[even] as number;
    this.#sum = fold(sum);
    this.#length += bytes.length;
  }

  get value(): number {
    return (this.#sum + this.#length) % 2 ** 32;
  }
}

function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded % 0x10000) + Math.floor(folded / 0x10000);
  return folded;
}
