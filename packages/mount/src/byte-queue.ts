/**
 * Takes a connection's bytes in the lengths that its protocol asks for.
 * @module
 */
export class ByteQueue {
  readonly #source: AsyncIterator<Uint8Array>;
  #waiting: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** The next `length` bytes; undefined when the connection ends before. */
  async take(length: number): Promise<Buffer | undefined> {
    const parts: Buffer[] = [];
    let missing = length;
    while (missing > 0) {
      if (this.#waiting.length === 0) {
        const { value, done } = await this.#source.next();
        if (done === true) return undefined;
        this.#waiting = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
        continue;
      }
      const part = this.#waiting.subarray(0, missing);
      this.#waiting = this.#waiting.subarray(part.length);
      parts.push(part);
      missing -= part.length;
    }
    return Buffer.concat(parts);
  }

  /** Passes over bytes. @returns false when the connection ends before */
  async skip(length: number): Promise<boolean> {
    for (let left = length; left > 0; left -= Math.min(left, 65_536))
      if ((await this.take(Math.min(left, 65_536))) === undefined) return false;
    return true;
  }
}
