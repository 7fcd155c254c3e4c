/**
 * Seeds: content that is on the machine already and has some of the chunks that are wanted.
 * @module
 */
import type { CopyTarget } from "./chunk-placer.ts";

/** A file in which a seed's chunks lie: what is made of them can share its blocks. */
export interface SeedFile {
  readonly descriptor: number;
  /** Where the chunk with this id was when the file was read; undefined when it was not there. */
  offsetOf(id: Uint8Array): number | undefined;
}

/** Where a seed's chunk is, or was: it is verified when it has been read. */
export type SeedPlace =
  /** In an open file, at an offset in bytes. */
  | { readonly descriptor: number; readonly offset: number }
  /** Put together by the seed, without waiting; false when it is not there any more. */
  | { fill(view: Uint8Array): boolean }
  /** To be had with read() only. */
  | "read";

/** Something that may hold chunks. What it hands out is verified: seeds change behind one's back. */
export interface Seed {
  /** Where it is, for messages. */
  readonly location: string;
  /**
   * The plain bytes of the chunk with this 32-byte id and length; undefined when the seed does not
   * hold it, or no longer.
   */
  read(id: Uint8Array, size: number): Promise<Uint8Array | undefined>;
  /**
   * Reads the seed, once, to learn what it holds: whoever uses the seed does so first, and until then it
   * holds nothing. A seed without this method knows.
   * @param copyTo takes what it wants of the chunks as they are read: what is written are the very bytes
   *   that were digested. A seed that cannot do this does not call its claim().
   */
  scan?(copyTo?: CopyTarget): Promise<void>;
  /**
   * Where the chunk is, for threads that read it; undefined when the seed does not hold it. Without this
   * method every chunk is asked for with read().
   */
  place?(id: Uint8Array, size: number): SeedPlace | undefined;
  /** The file of a seed that is one. */
  readonly file?: SeedFile;
  /** Descriptor of the directory of a seed that is a tree. */
  readonly directory?: number;
  /** Closes files; a closed seed is not used again. */
  close(): Promise<void>;
}
