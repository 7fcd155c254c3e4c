/**
 * Seeds: content that is on the machine already and has some of the chunks that are wanted.
 * @module
 */

/** A file in which a seed's chunks lie: what is made of them can share its blocks. */
export interface SeedFile {
  readonly descriptor: number;
  /** Where the chunk with this id was when the file was read; undefined when it was not there. */
  offsetOf(id: Uint8Array): number | undefined;
}

/** Something that may hold chunks. What it hands out is verified: seeds change behind one's back. */
export interface Seed {
  /** Where it is, for messages. */
  readonly location: string;
  /**
   * The plain bytes of the chunk with this 32-byte id and length; undefined when the seed does not
   * hold it, or no longer.
   */
  read(id: Uint8Array, size: number): Promise<Uint8Array | undefined>;
  /** The file of a seed that is one. */
  readonly file?: SeedFile;
  /** Closes files; a closed seed is not used again. */
  close(): Promise<void>;
}
