/**
 * Compression of chunks: zstd, gzip (node:zlib) and xz (liblzma). A store does not record how a chunk
 * is compressed; the first bytes tell. Index and names do not depend on it, so stores may be mixed.
 *
 * Everything here is synchronous, for worker threads: one call codes one chunk.
 * @module
 */
import { gunzipSync, gzipSync } from "node:zlib";
import { ConfigError, FormatError, errorMessage, systemErrorCode } from "@imgtool/core";
import type { StoredChunk } from "./store.ts";
import { borrowZstd, compressZstd, decompressZstd, decompressZstdInto } from "./zstd.ts";
import { compressXz, decompressXz } from "./xz.ts";

export type Codec = "zstd" | "gzip" | "xz";
/** How new chunks are stored; "none" stores plain bytes. */
export type Compression = Codec | "none";

/** Every Compression, for option parsers. */
export const compressions: readonly Compression[] = ["zstd", "xz", "gzip", "none"];

interface CodecEntry {
  readonly magic: readonly number[];
  /** Lowest, default (casync's) and highest level. */
  readonly levels: readonly [number, number, number];
  compress(bytes: Uint8Array, level: number): Uint8Array;
  /** Undefined when the bytes would inflate beyond `maxBytes`. */
  decompress(bytes: Uint8Array, maxBytes: number): Uint8Array | undefined;
}

// zlib works in pieces of `chunkSize`: one piece for the whole output halves the time of a 64 KiB
// chunk (0.10 → 0.05 ms, measured); larger outputs gain nothing from pieces beyond 4 MiB.
const pieceSize = (bytes: number): number => Math.min(Math.max(bytes, 64), 4 * 1024 ** 2);
const grown = (bytes: number): number => pieceSize(bytes + (bytes >> 6) + 512);

const codecs: Readonly<Record<Codec, CodecEntry>> = {
  zstd: {
    magic: [0x28, 0xb5, 0x2f, 0xfd],
    levels: [1, 3, 22],
    compress: compressZstd,
    decompress: (bytes, maxBytes) => boundedZlib(() => decompressZstd(bytes, maxBytes)),
  },
  gzip: {
    magic: [0x1f, 0x8b],
    levels: [1, 6, 9],
    compress: (bytes, level) => gzipSync(bytes, { level, chunkSize: grown(bytes.length) }),
    decompress: (bytes, maxBytes) =>
      boundedZlib(() =>
        gunzipSync(bytes, { maxOutputLength: Math.max(maxBytes, 1), chunkSize: pieceSize(maxBytes + 1) }),
      ),
  },
  xz: {
    magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00],
    levels: [1, 6, 9],
    compress: compressXz,
    decompress: decompressXz,
  },
};

function boundedZlib(inflate: () => Uint8Array | undefined): Uint8Array | undefined {
  try {
    return inflate();
  } catch (error) {
    if (systemErrorCode(error) === "ERR_BUFFER_TOO_LARGE") return undefined;
    throw new FormatError(`damaged compressed data: ${errorMessage(error)}`, {
      code: "compressed-invalid",
      cause: error,
    });
  }
}

/** The codec that the bytes begin with, or undefined when it is none that is known. */
export function sniffCodec(bytes: Uint8Array): Codec | undefined {
  for (const [name, { magic }] of Object.entries(codecs))
    if (magic.every((byte, i) => bytes[i] === byte)) return name as Codec;
  return undefined;
}

/**
 * The level to compress with: the given one, checked, or casync's default.
 * @throws ConfigError `compression-level-invalid`
 */
export function compressionLevel(compression: Compression, level?: number): number {
  if (compression === "none") return 0;
  const [lowest, normal, highest] = codecs[compression].levels;
  if (level === undefined) return normal;
  if (Number.isInteger(level) && level >= lowest && level <= highest) return level;
  throw new ConfigError(`${compression} has no level ${level}, expected ${lowest} to ${highest}`, {
    code: "compression-level-invalid",
    data: { compression, found: level, lowest, highest },
  });
}

/**
 * A chunk as a store keeps it. `bytes` are not copied when `compression` is "none".
 * @throws ConfigError for a level that the codec does not have; EnvironmentError `codec-missing`
 */
export function compressChunk(bytes: Uint8Array, compression: Compression = "zstd", level?: number): StoredChunk {
  if (compression === "none") return { bytes, compressed: false };
  return { bytes: codecs[compression].compress(bytes, compressionLevel(compression, level)), compressed: true };
}

/**
 * As compressChunk(), but where it saves a copy the bytes lie in memory that the thread's next call
 * uses again.
 */
export function borrowCompressed(bytes: Uint8Array, compression: Compression, level?: number): StoredChunk {
  if (compression !== "zstd") return compressChunk(bytes, compression, level);
  return { bytes: borrowZstd(bytes, compressionLevel(compression, level)), compressed: true };
}

/**
 * The plain bytes of a stored chunk, never more than `maxBytes`: what would inflate further is
 * stopped there, so that a compression bomb costs no memory.
 * @throws FormatError `codec-unknown`, `compressed-invalid` or `inflates-too-far`; EnvironmentError
 *   `codec-missing`
 */
export function decompressChunk(chunk: StoredChunk, maxBytes: number): Uint8Array {
  return decompressWith(chunk, maxBytes, (codec) => codecs[codec].decompress(chunk.bytes, maxBytes));
}

/**
 * As decompressChunk(), into memory of the caller's where that saves a copy: what is returned may be a
 * view of it. Its length is the limit.
 */
export function decompressChunkInto(chunk: StoredChunk, target: Uint8Array): Uint8Array {
  return decompressWith(chunk, target.length, (codec) =>
    codec === "zstd"
      ? boundedZlib(() => decompressZstdInto(chunk.bytes, target))
      : codecs[codec].decompress(chunk.bytes, target.length),
  );
}

function decompressWith(
  chunk: StoredChunk,
  maxBytes: number,
  decompress: (codec: Codec) => Uint8Array | undefined,
): Uint8Array {
  const codec = chunk.compressed ? sniffCodec(chunk.bytes) : undefined;
  if (chunk.compressed && codec === undefined) {
    const found = Buffer.from(chunk.bytes.subarray(0, 6)).toString("hex");
    throw new FormatError(`unknown compression: the chunk begins with ${found || "nothing"}`, {
      code: "codec-unknown",
      data: { expected: ["zstd", "gzip", "xz"], found },
    });
  }
  const plain = codec === undefined ? chunk.bytes : decompress(codec);
  if (plain !== undefined && plain.length <= maxBytes) return plain;
  throw new FormatError(`the chunk inflates to more than ${maxBytes} bytes`, {
    code: "inflates-too-far",
    data: { maxBytes },
  });
}
