/**
 * Joins the small pieces of an archive: a tree has some three records a file, and a step of an
 * asynchronous iteration costs more than their bytes.
 * @module
 */
import type { TreePiece } from "./walk.ts";

const batchSize = 256 * 1024;

/** The bytes of the pieces, small ones joined. */
export async function* batched(pieces: AsyncIterable<TreePiece>): AsyncGenerator<Uint8Array, void> {
  let batch = Buffer.allocUnsafe(batchSize);
  let filled = 0;
  for await (const { bytes } of pieces) {
    if (filled + bytes.length > batchSize) {
      if (filled > 0) yield batch.subarray(0, filled);
      batch = Buffer.allocUnsafe(batchSize);
      filled = 0;
    }
    if (bytes.length > batchSize / 2) {
      if (filled > 0) {
        yield batch.subarray(0, filled);
        batch = Buffer.allocUnsafe(batchSize);
        filled = 0;
      }
      yield bytes;
    } else {
      batch.set(bytes, filled);
      filled += bytes.length;
    }
  }
  if (filled > 0) yield batch.subarray(0, filled);
}
