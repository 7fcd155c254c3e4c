/**
 * What verification finds: problems are reported one by one as they are found, so that a store with a
 * million of them takes no more memory than one with none.
 * @module
 */

export type ProblemCode =
  /** No store holds the chunk. */
  | "chunk-missing"
  /** A store holds other bytes under the chunk's name, or bytes that cannot be decompressed. */
  | "chunk-altered"
  /** Something in the store is in the way: a link, a special file, a file too large for a chunk. */
  | "store-entry-invalid"
  /** Something that does not belong into a store. */
  | "stray"
  /** A part of a file, or of a directory's archive, is not what the index says. */
  | "content-differs"
  /** A file is shorter or longer than the index says. */
  | "size-differs"
  /** A file of a tree is missing, too many, or other than the index says. */
  | "entry-differs"
  /** The archive that an index describes is damaged. */
  | "archive-invalid";

export interface Problem {
  readonly code: ProblemCode;
  /** What, where, expected and found. */
  readonly message: string;
  /** File or node that is bad. */
  readonly path?: string;
  /** Name of the chunk. */
  readonly chunk?: string;
  /** Which chunk of the index it is, from 0: the first, where it occurs several times. */
  readonly position?: number;
  /** Where the bad bytes are in the content, in bytes, and how many. */
  readonly offset?: number;
  readonly size?: number;
}

export interface Verified {
  /** What was checked: chunks, and their plain bytes. */
  readonly chunks: number;
  readonly bytes: number;
  readonly problems: number;
}
