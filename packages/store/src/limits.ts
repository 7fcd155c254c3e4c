/**
 * How large a chunk can be. casync accepts chunk sizes from 1 B to 128 MiB; everything larger in a
 * store is an attack or a mistake and is refused before memory is allocated for it.
 * @module
 */

/** Largest plain chunk that an index can declare, in bytes: 128 MiB. */
export const maxChunkBytes: number = 128 * 1024 ** 2;

/**
 * Most bytes that a chunk of `plainBytes` can take up in a store. Incompressible data grows: by 0.4 %
 * in zstd, by 5 bytes for each 16 KiB in gzip and by 3 for each 64 KiB in xz, and each has a header.
 */
export function maxStoredBytes(plainBytes: number = maxChunkBytes): number {
  return plainBytes + (plainBytes >> 6) + 4096;
}
