/**
 * Writes a chunk to all its places in a file: what the threads of an extraction do.
 * @module
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { dataExtents } from "./data-extents.ts";
import type { ExtractPlan } from "./extract-plan.ts";
import { outputError } from "./output-error.ts";

export interface PlacerOptions {
  readonly plan: ExtractPlan;
  /** The file to write to. */
  readonly output: string;
  /** Whether the file reads as zeros where nothing is written. */
  readonly sparse: boolean;
}

/** A file that chunks are copied to, by the plan of its extraction. */
export interface CopyTarget extends PlacerOptions {
  /** Position among the plan's `firsts` of a chunk that is wanted; −1 for others, and from the second call on. */
  claim(id: Uint8Array): number;
}

export class ChunkPlacer implements Disposable {
  readonly #options: PlacerOptions;
  readonly #descriptor: number;

  constructor(options: PlacerOptions) {
    this.#options = options;
    try {
      this.#descriptor = openSync(options.output, "r+");
    } catch (error) {
      throw outputError(error, options.output);
    }
  }

  /**
   * Writes the chunk wherever the output does not have it, and marks it as done.
   * @param position of the chunk among the plan's `firsts`
   * @returns bytes that are in their places now
   */
  place(position: number, bytes: Uint8Array): number {
    const { plan, output } = this.#options;
    let written = 0;
    try {
      for (let i = plan.firsts[position] ?? -1; i >= 0; i = plan.next[i] ?? -1) {
        if (plan.inPlace[i] === 1) continue;
        this.#write(bytes, i === 0 ? 0 : (plan.ends[i - 1] ?? 0));
        written += bytes.length;
      }
    } catch (error) {
      throw outputError(error, output);
    }
    plan.done[position] = 1;
    return written;
  }

  [Symbol.dispose](): void {
    closeSync(this.#descriptor);
  }

  #write(bytes: Uint8Array, offset: number): void {
    const extents = this.#options.sparse ? dataExtents(bytes, offset) : [[0, bytes.length] as const];
    for (const [from, to] of extents)
      for (let at = from; at < to;) at += writeSync(this.#descriptor, bytes, at, to - at, offset + at);
  }
}
