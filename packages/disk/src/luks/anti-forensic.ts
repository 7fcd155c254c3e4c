/**
 * The anti-forensic splitter of LUKS (LUKS1 On-Disk Format Specification 1.2.3, section 2.4): a key is
 * spread over many stripes that are all needed to get it back, so that a disk which remaps a few sectors
 * does not keep it.
 * @module
 */
import { hash } from "node:crypto";

const digestSize = 32;

/**
 * Spreads a key.
 * @param key the key
 * @param random the stripes but the last: a multiple of the key's length
 * @returns all stripes
 */
export function splitKey(key: Uint8Array, random: Uint8Array): Uint8Array<ArrayBuffer> {
  if (random.length % key.length !== 0)
    throw new RangeError(`${random.length} random bytes are no multiple of the key's ${key.length}`);
  const stripes = new Uint8Array(random.length + key.length);
  stripes.set(random);
  stripes.set(xor(mixStripes(random, key.length), key), random.length);
  return stripes;
}

/** Gathers the key of `length` bytes from its stripes. */
export function mergeKey(stripes: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
  const last = stripes.length - length;
  return xor(mixStripes(stripes.subarray(0, last), length), stripes.subarray(last));
}

function mixStripes(stripes: Uint8Array, length: number): Uint8Array {
  let mixed: Uint8Array = new Uint8Array(length);
  for (let at = 0; at < stripes.length; at += length) mixed = diffuse(xor(mixed, stripes.subarray(at, at + length)));
  return mixed;
}

/** Each piece of a digest's size becomes the digest of its number and itself. */
function diffuse(bytes: Uint8Array): Uint8Array {
  const diffused = new Uint8Array(bytes.length);
  for (let at = 0, number = 0; at < bytes.length; at += digestSize, number++) {
    const piece = bytes.subarray(at, at + digestSize);
    const numbered = new Uint8Array(4 + piece.length);
    new DataView(numbered.buffer).setUint32(0, number);
    numbered.set(piece, 4);
    diffused.set(hash("sha256", numbered, "buffer").subarray(0, piece.length), at);
  }
  return diffused;
}

function xor(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(a, (byte, index) => byte ^ (b[index] ?? 0));
}
