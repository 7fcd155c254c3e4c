/**
 * A thread that hashes pieces of the data.
 * @module
 */
import { VerityRangeHasher, type VerityRangeTarget } from "./verity-range.ts";
import { servePieces } from "./worker-pieces.ts";

interface VerityWorkerTarget {
  readonly range: VerityRangeTarget;
  /** Data blocks per piece. */
  readonly piece: number;
}

servePieces((target) => {
  const { range, piece } = target as VerityWorkerTarget;
  const hasher = new VerityRangeHasher(range);
  return (index) => hasher.hash(index * piece, piece);
});
