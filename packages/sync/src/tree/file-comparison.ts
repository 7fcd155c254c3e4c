/**
 * Compares a file that is there with the bytes that an archive has for it, as they come: a file that
 * is equal stays, or is linked, and costs reading instead of writing.
 * @module
 */
import { type BigIntStats, closeSync, fstatSync, readSync } from "node:fs";

const pieceSize = 256 * 1024;

export class FileComparison implements Disposable {
  readonly descriptor: number;
  readonly #buffer: Buffer;
  readonly #before: BigIntStats;
  #offset = 0;
  #isOpen = true;

  /** @param descriptor of the file; dispose() closes it */
  constructor(descriptor: number, size: number) {
    this.descriptor = descriptor;
    this.#buffer = Buffer.allocUnsafe(Math.min(size, pieceSize));
    this.#before = fstatSync(descriptor, { bigint: true });
  }

  get size(): number {
    return Number(this.#before.size);
  }

  get inode(): bigint {
    return this.#before.ino;
  }

  /** Bytes that were equal so far. */
  get offset(): number {
    return this.#offset;
  }

  /** Whether the file goes on with these bytes. When it does not, copyTo() still gives what was equal. */
  goesOnWith(bytes: Uint8Array): boolean {
    for (let at = 0; at < bytes.length;) {
      const length = Math.min(this.#buffer.length, bytes.length - at);
      const count = length === 0 ? 0 : readSync(this.descriptor, this.#buffer, 0, length, this.#offset + at);
      if (count === 0 || !this.#buffer.subarray(0, count).equals(bytes.subarray(at, at + count))) return false;
      at += count;
    }
    this.#offset += bytes.length;
    return true;
  }

  /** Writes what was equal so far into a new file; ask isUnchanged() afterwards. */
  copyTo(file: { write(bytes: Uint8Array): void }): void {
    for (let at = 0; at < this.#offset;) {
      const length = Math.min(this.#buffer.length, this.#offset - at);
      const count = readSync(this.descriptor, this.#buffer, 0, length, at);
      if (count === 0) return;
      file.write(this.#buffer.subarray(0, count));
      at += count;
    }
  }

  /** Whether nobody has written to the file since it was opened. */
  isUnchanged(): boolean {
    const { size, mtimeNs, ctimeNs } = fstatSync(this.descriptor, { bigint: true });
    const before = this.#before;
    // a link that was made to it, or removed, changes ctime, too
    return size === before.size && mtimeNs === before.mtimeNs && ctimeNs === before.ctimeNs;
  }

  [Symbol.dispose](): void {
    if (this.#isOpen) closeSync(this.descriptor);
    this.#isOpen = false;
  }
}
