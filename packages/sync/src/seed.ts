/**
 * Seeds: content that is on the machine already and has some of the chunks that are wanted.
 * @module
 */

/** Something that may hold chunks. What it hands out is verified: seeds change behind one's back. */
export interface Seed {
  /** Where it is, for messages. */
  readonly location: string;
  /**
   * The plain bytes of the chunk with this 32-byte id and length; undefined when the seed does not
   * hold it, or no longer.
   */
  read(id: Uint8Array, size: number): Promise<Uint8Array | undefined>;
  /** Closes files; a closed seed is not used again. */
  close(): Promise<void>;
}
