/**
 * A file that is written from its beginning to its end, with holes where there are pages of zeros.
 * @module
 */
import { ftruncateSync, writeSync } from "node:fs";
import { dataExtents } from "../data-extents.ts";

export class SparseFile {
  readonly #descriptor: number;
  readonly #sparse: boolean;
  #offset = 0;
  #written = 0;

  /** @param descriptor of an empty file */
  constructor(descriptor: number, sparse: boolean) {
    this.#descriptor = descriptor;
    this.#sparse = sparse;
  }

  /** Appends bytes. */
  write(bytes: Uint8Array): void {
    const extents = this.#sparse ? dataExtents(bytes, this.#offset) : [[0, bytes.length] as const];
    for (const [from, to] of extents) {
      for (let at = from; at < to;) at += writeSync(this.#descriptor, bytes, at, to - at, this.#offset + at);
      this.#written = this.#offset + to;
    }
    this.#offset += bytes.length;
  }

  /** Gives the file its length when it ends in a hole. */
  finish(): void {
    if (this.#written < this.#offset) ftruncateSync(this.#descriptor, this.#offset);
  }
}
