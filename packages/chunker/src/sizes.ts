/**
 * Chunk sizes: how small, how large and how long on average the pieces of a stream are.
 *
 * Defaults, limits and the relation of the average to the discriminator are those of casync: a
 * stream cut with equal sizes has equal chunks in both programs.
 * @module
 */
import { ConfigError, parseSize } from "@imgtool/core";

/** All three in bytes; min ≤ avg ≤ max. min = avg = max cuts pieces of that fixed size. */
export interface ChunkSizes {
  readonly min: number;
  readonly avg: number;
  readonly max: number;
}

/** Bytes that the rolling hash looks at; no chunk but the last of a stream is shorter. */
export const windowSize = 48;
/** The largest chunk an index may name: 128 MiB. */
export const maxChunkSize: number = 128 * 1024 ** 2;

const defaultAverage = 64 * 1024;

function clip(size: number): number {
  return Math.min(Math.max(Math.trunc(size), 1), maxChunkSize);
}

/**
 * The sizes that follow from those that are given: 16 KiB, 64 KiB and 256 KiB when none is; a
 * quarter and four times the average; the geometric mean of minimum and maximum.
 * @param given each in bytes, 1 to 128 MiB
 * @throws ConfigError `chunk-sizes-invalid` when a size is out of range, the three are not in
 *   order, or the maximum is below the hash window (48) and the sizes are not all equal
 * @example chunkSizes({ avg: 65536 }) // { min: 16384, avg: 65536, max: 262144 }
 */
export function chunkSizes(given: Partial<ChunkSizes> = {}): ChunkSizes {
  for (const [name, size] of Object.entries(given)) {
    if (Number.isSafeInteger(size) && size >= 1 && size <= maxChunkSize) continue;
    throw invalid(`${name} chunk size is ${size}, expected 1 to ${maxChunkSize} bytes`, given);
  }
  const avg = given.avg ?? clip(averageOf(given.min, given.max));
  const min = given.min ?? clip(avg / 4);
  const max = given.max ?? clip(avg * 4);
  if (min > avg) throw invalid(`minimum chunk size ${min} is larger than the average ${avg}`, given);
  if (max < avg) throw invalid(`maximum chunk size ${max} is smaller than the average ${avg}`, given);
  if (max < windowSize && min !== max) {
    throw invalid(
      `maximum chunk size ${max} is smaller than the ${windowSize} bytes that a cut is decided by`,
      given,
      "make all three sizes equal for chunks of a fixed size",
    );
  }
  return { min, avg, max };
}

function averageOf(min: number | undefined, max: number | undefined): number {
  if (min !== undefined && max !== undefined) return 2 ** ((Math.log2(min) + Math.log2(max)) / 2);
  if (min !== undefined) return min * 4;
  return max === undefined ? defaultAverage : max / 4;
}

function invalid(message: string, given: Partial<ChunkSizes>, hint?: string): ConfigError {
  return new ConfigError(message, {
    code: "chunk-sizes-invalid",
    data: { ...given },
    hint: hint ?? "give an average (64K) or minimum:average:maximum (16K:64K:256K)",
  });
}

/**
 * Parses what casync's `--chunk-size=` takes: an average (`64K`), `MIN:AVG:MAX`, or `auto`.
 * @throws ConfigError `chunk-sizes-invalid`, or `size-invalid` when a part is no size
 */
export function parseChunkSizes(text: string): ChunkSizes {
  if (text === "auto") return chunkSizes();
  const parts = text.split(":");
  const [first = "", average = "", last = ""] = parts;
  if (parts.length === 1) return chunkSizes({ avg: parseSize(first) });
  // Two sizes would leave open which of them is the average; casync refuses them as well.
  if (parts.length !== 3) throw invalid(`chunk sizes "${text}" are neither one size nor three`, {});
  return chunkSizes({ min: parseSize(first), avg: parseSize(average), max: parseSize(last) });
}

/**
 * The number d for which a hash h with h mod d = d − 1 makes a cut; in bytes.
 *
 * The formula fits the average length of a chunk, with the skipped minimum and the forced maximum
 * counted in. It leaves [min, max] for some sizes and turns negative above 9.32 MiB, which means
 * "too large"; casync then takes the nearest limit, and so it is done here.
 */
export function discriminator(sizes: ChunkSizes): number {
  const value = Math.trunc(sizes.avg / (1.33237515 - 1.42888852e-7 * sizes.avg));
  if (value < 0 || value > sizes.max) return sizes.max;
  return Math.max(value, sizes.min);
}
