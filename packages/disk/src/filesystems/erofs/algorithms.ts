/**
 * What EROFS can be compressed with, as the writer and the superblock need it: Linux knows LZ4 since 5.4,
 * DEFLATE since 6.6, Zstandard since 6.10.
 * @module
 */
import { promisify } from "node:util";
import { constants, deflateRaw, zstdCompress } from "node:zlib";
import type { CompressionChoice } from "../compression.ts";
import { makeLz4Compressor } from "./lz4.ts";

/** The most that a piece of data other than zeros holds, so that little is read for a single block. */
export const pieceLength = 65_536;

export interface ErofsAlgorithm {
  /** Number in the headers of compressed files. */
  readonly number: number;
  /** What the superblock is followed by, without its length. */
  readonly configuration: Uint8Array;
  /** Bytes that are at most `limit` and begin with another than 0; undefined: it did not shrink to that. */
  compress(bytes: Uint8Array, limit: number): Promise<Uint8Array | undefined>;
}

/** Levels where none is asked for: those of mkfs.erofs. */
const usualLevels: Readonly<Record<string, number>> = { lz4hc: 9, zstd: 3, deflate: 1, libdeflate: 1 };

/**
 * The algorithm of a compression that was checked; see `checkCompression`.
 * @param largest blocks that the compressed form of a piece has at most
 */
export function findAlgorithm({ algorithm, level }: CompressionChoice, largest: number): ErofsAlgorithm {
  const wanted = level ?? usualLevels[algorithm] ?? 0;
  if (algorithm === "zstd") return zstd(wanted);
  if (algorithm === "deflate" || algorithm === "libdeflate") return deflate(wanted);
  return lz4(algorithm === "lz4hc" ? wanted : 0, largest);
}

function lz4(level: number, largest: number): ErofsAlgorithm {
  const configuration = new Uint8Array(14);
  const view = new DataView(configuration.buffer);
  // The longest distance of a match, and the largest compressed piece in blocks.
  view.setUint16(0, 65_535, true);
  view.setUint16(2, largest, true);
  const compressor = makeLz4Compressor(level);
  let room = new Uint8Array(0);
  return {
    number: 0,
    configuration,
    compress(bytes, limit) {
      if (room.length < limit) room = new Uint8Array(limit);
      const length = compressor.compress(bytes, room.subarray(0, limit));
      // A block begins with its count of literals, which is not 0 at its beginning.
      return Promise.resolve(length === 0 ? undefined : room.slice(0, length));
    },
  };
}

function deflate(level: number): ErofsAlgorithm {
  const windowBits = 15;
  const compress = promisify<Uint8Array, { level: number; windowBits: number }, Buffer>(deflateRaw);
  return {
    number: 2,
    configuration: Uint8Array.of(windowBits, 0, 0, 0, 0, 0),
    async compress(bytes, limit) {
      const found = await compress(bytes, { level: Math.min(level, 9), windowBits });
      // What is stored uncompressed begins with a byte that cannot be told from the padding.
      return found.length <= limit && found[0] !== 0 ? found : undefined;
    },
  };
}

function zstd(level: number): ErofsAlgorithm {
  const windowLog = Math.log2(pieceLength);
  const compress = promisify<Uint8Array, { params: Record<number, number>; pledgedSrcSize: number }, Buffer>(
    zstdCompress,
  );
  const params = { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_windowLog]: windowLog };
  return {
    number: 3,
    configuration: Uint8Array.of(0, windowLog - 10, 0, 0, 0, 0),
    async compress(bytes, limit) {
      const found = await compress(bytes, { params, pledgedSrcSize: bytes.length });
      return found.length <= limit ? found : undefined;
    },
  };
}
