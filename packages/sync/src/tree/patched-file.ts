/**
 * A file that begins as a clone of a similar one, on file systems that share blocks: what is equal stays
 * shared, only pages that differ are written. The clone is ours alone, so what is compared cannot change.
 * @module
 */
import { ftruncateSync, readSync, writeSync } from "node:fs";
import { changedExtents } from "../data-extents.ts";

export class PatchedFile {
  readonly #descriptor: number;
  #offset: number;

  /**
   * @param descriptor of the clone, for reading and writing
   * @param offset up to which its bytes are known to be right
   */
  constructor(descriptor: number, offset: number) {
    this.#descriptor = descriptor;
    this.#offset = offset;
  }

  /** Goes on with bytes. */
  write(bytes: Uint8Array): void {
    // behind its end the file reads as zeros once it has its length
    const there = Buffer.alloc(bytes.length);
    for (let count = -1, at = 0; count !== 0 && at < there.length; at += count)
      count = readSync(this.#descriptor, there, at, there.length - at, this.#offset + at);
    for (const [from, to] of changedExtents(bytes, there, this.#offset)) {
      for (let at = from; at < to;) at += writeSync(this.#descriptor, bytes, at, to - at, this.#offset + at);
    }
    this.#offset += bytes.length;
  }

  /** Gives the file its length. */
  finish(): void {
    ftruncateSync(this.#descriptor, this.#offset);
  }
}
