/**
 * zstd for chunks: through node:zlib at first, and through the kept contexts of @imgtool/host once a
 * thread codes so much that loading koffi (some 15 ms) pays.
 * @module
 */
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { openZstd, type Zstd, zstdBound } from "@imgtool/host/zstd";

/** Calls after which a kept context has saved what it costs to have it: 0.07 to 0.1 ms each (measured). */
const worthLoading = 128;
/** Chunks that may be larger are decompressed by node:zlib, which does not take all their memory at once. */
const largestWhole: number = 1024 ** 2;

let calls = 0;
let scratch: Uint8Array = new Uint8Array(0);

/** This thread's contexts, unless there are none or it does not pay yet. */
function kept(): Zstd | undefined {
  return calls++ < worthLoading ? undefined : openZstd();
}

// zlib works in pieces of `chunkSize`: see codecs.ts
const pieceSize = (bytes: number): number => Math.min(Math.max(bytes, 64), 4 * 1024 ** 2);

/** A zstd frame. */
export function compressZstd(bytes: Uint8Array, level: number): Uint8Array {
  const zstd = kept();
  return zstd === undefined ? compressOnce(bytes, level) : new Uint8Array(compressKept(zstd, bytes, level));
}

/** As compressZstd(), but the bytes may be those of memory that the next call uses again. */
export function borrowZstd(bytes: Uint8Array, level: number): Uint8Array {
  const zstd = kept();
  return zstd === undefined ? compressOnce(bytes, level) : compressKept(zstd, bytes, level);
}

function compressKept(zstd: Zstd, bytes: Uint8Array, level: number): Uint8Array {
  const bound = zstdBound(bytes.length);
  if (scratch.length < bound) scratch = Buffer.allocUnsafeSlow(bound);
  return scratch.subarray(0, zstd.compress(bytes, level, scratch));
}

function compressOnce(bytes: Uint8Array, level: number): Uint8Array {
  return zstdCompressSync(bytes, {
    params: { [constants.ZSTD_c_compressionLevel]: level },
    pledgedSrcSize: bytes.length,
    chunkSize: pieceSize(zstdBound(bytes.length)),
  });
}

/** The plain bytes; undefined, or ERR_BUFFER_TOO_LARGE thrown, when there are more than `maxBytes`. */
export function decompressZstd(bytes: Uint8Array, maxBytes: number): Uint8Array | undefined {
  if (maxBytes <= largestWhole && maxBytes > 0) {
    const zstd = kept();
    if (zstd !== undefined) return decompressKept(zstd, bytes, Buffer.allocUnsafeSlow(maxBytes));
  }
  return decompressOnce(bytes, maxBytes);
}

/** As decompressZstd() with the target's length as limit; the result may be a view of the target. */
export function decompressZstdInto(bytes: Uint8Array, target: Uint8Array): Uint8Array | undefined {
  const zstd = kept();
  return zstd === undefined ? decompressOnce(bytes, target.length) : decompressKept(zstd, bytes, target);
}

function decompressKept(zstd: Zstd, bytes: Uint8Array, target: Uint8Array): Uint8Array | undefined {
  const length = zstd.decompress(bytes, target);
  return length < 0 ? undefined : target.subarray(0, length);
}

function decompressOnce(bytes: Uint8Array, maxBytes: number): Uint8Array {
  return zstdDecompressSync(bytes, { maxOutputLength: Math.max(maxBytes, 1), chunkSize: pieceSize(maxBytes + 1) });
}
