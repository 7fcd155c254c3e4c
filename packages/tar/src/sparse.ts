/**
 * Sparse files of GNU tar: the old header, and the forms 0.0, 0.1 and 1.0 in extended headers.
 * @module
 */
import { numberField } from "./fields.ts";
import { tarError } from "./read-errors.ts";

/** Bytes of a file that the archive has; what is between them is zeros. */
export interface Segment {
  /** Offset in the file, and length in bytes. */
  readonly start: number;
  readonly length: number;
}

/** So many segments take 10 MB; GNU tar's files rarely have hundreds. */
const maxSegments = 100_000;

/** Segments of "offset,length,offset,length,…". @throws FormatError `tar-sparse` */
export function parseMap(numbers: readonly string[], offset: number): readonly Segment[] {
  if (numbers.length % 2 !== 0 || numbers.length > 2 * maxSegments) {
    throw tarError("tar-sparse", offset, "a sparse map", `pairs, at most ${maxSegments}`, `${numbers.length} numbers`);
  }
  const values = numbers.map((text) => {
    const value = Number(text);
    if (!/^[0-9]{1,16}$/.test(text) || !Number.isSafeInteger(value)) {
      throw tarError("tar-sparse", offset, "a sparse map", "decimal numbers", JSON.stringify(text.slice(0, 40)));
    }
    return value;
  });
  return pairs(values);
}

/** Pairs of a block of the old form. */
export function oldPairs(block: Uint8Array, at: number, count: number, offset: number): readonly Segment[] {
  const values: number[] = [];
  for (let i = 0; i < count; i++) {
    const from = at + 24 * i;
    // The rest is not used.
    if (block[from] === 0) break;
    values.push(numberField(block, from, 12, offset), numberField(block, from + 12, 12, offset));
  }
  return pairs(values);
}

function pairs(values: readonly number[]): readonly Segment[] {
  const segments: Segment[] = [];
  for (let i = 0; i < values.length; i += 2) segments.push({ start: values[i] ?? 0, length: values[i + 1] ?? 0 });
  return segments;
}

/**
 * Checks that segments are in order, inside the file, and as long as what is stored.
 * @throws FormatError `tar-sparse`
 */
export function checkSegments(segments: readonly Segment[], size: number, stored: number, offset: number): void {
  let [end, sum] = [0, 0];
  if (segments.length > maxSegments) {
    throw tarError("tar-sparse", offset, "a sparse map", `at most ${maxSegments} segments`, String(segments.length));
  }
  for (const { start, length } of segments) {
    if (start < end || length < 0 || start + length > size) {
      throw tarError(
        "tar-sparse",
        offset,
        "segments overlap or leave the file",
        `${end} to ${size}`,
        `${start}+${length}`,
      );
    }
    end = start + length;
    sum += length;
  }
  if (sum !== stored) throw tarError("tar-sparse", offset, "segments and stored bytes", `${sum} bytes`, `${stored}`);
}
