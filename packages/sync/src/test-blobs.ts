/**
 * Contents for the tests of this package.
 * @module
 */
import { randomBytes } from "@imgtool/testkit";

/** 1.5 MB like a disk image: random blocks, some of them twice, between runs of zeros. */
export function imageLike(seed = "image"): Uint8Array {
  const bytes = new Uint8Array(1_500_000);
  const block = randomBytes(120_000, seed);
  for (const at of [4096, 500_000, 1_200_000]) bytes.set(block, at);
  bytes.set(randomBytes(50_000, `${seed} end`), 1_450_000);
  return bytes;
}

/** The bytes in slices of the given length, as a stream. */
export async function* slices(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}
