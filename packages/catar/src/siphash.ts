/**
 * SipHash-2-4, 64-bit output (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012).
 * GOODBYE tables hash file names with it.
 *
 * 64-bit words are kept as pairs of 32-bit halves: BigInt arithmetic is some ten times slower, and
 * every name of a tree passes here.
 * @module
 */

/**
 * SipHash-2-4 of the message.
 * @param key 16 bytes
 * @returns unsigned 64-bit value
 * @throws RangeError when the key has another length
 */
export function sipHash24(key: Uint8Array, message: Uint8Array): bigint {
  if (key.length !== 16) throw new RangeError(`SipHash key: expected 16 bytes, found ${key.length}`);
  const state = initialState(key);
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const whole = message.length - (message.length % 8);
  for (let i = 0; i < whole; i += 8) absorb(state, view.getUint32(i, true), view.getUint32(i + 4, true));

  // The last word: the rest of the message, and its length modulo 256 in the highest byte.
  const last = new DataView(new ArrayBuffer(8));
  for (let i = whole; i < message.length; i++) last.setUint8(i - whole, view.getUint8(i));
  last.setUint8(7, message.length & 0xff);
  absorb(state, last.getUint32(0, true), last.getUint32(4, true));

  state[lo2] = word(state, lo2) ^ 0xff;
  for (let i = 0; i < 4; i++) round(state);
  const low = (word(state, lo0) ^ word(state, lo1) ^ word(state, lo2) ^ word(state, lo3)) >>> 0;
  const high = (word(state, hi0) ^ word(state, hi1) ^ word(state, hi2) ^ word(state, hi3)) >>> 0;
  return (BigInt(high) << 32n) | BigInt(low);
}

// Places of v0…v3 in the state: low half, then high half.
const lo0 = 0;
const hi0 = 1;
const lo1 = 2;
const hi1 = 3;
const lo2 = 4;
const hi2 = 5;
const lo3 = 6;
const hi3 = 7;

function initialState(key: Uint8Array): Int32Array {
  const view = new DataView(key.buffer, key.byteOffset, 16);
  const [k0lo, k0hi, k1lo, k1hi] = [0, 4, 8, 12].map((at) => view.getInt32(at, true)) as [
    number,
    number,
    number,
    number,
  ];
  // "somepseudorandomlygeneratedbytes", as the specification has it
  return Int32Array.of(
    k0lo ^ 0x70736575,
    k0hi ^ 0x736f6d65,
    k1lo ^ 0x6e646f6d,
    k1hi ^ 0x646f7261,
    k0lo ^ 0x6e657261,
    k0hi ^ 0x6c796765,
    k1lo ^ 0x79746573,
    k1hi ^ 0x74656462,
  );
}

function word(state: Int32Array, place: number): number {
  return state[place] as number;
}

function absorb(state: Int32Array, low: number, high: number): void {
  state[lo3] = word(state, lo3) ^ low;
  state[hi3] = word(state, hi3) ^ high;
  round(state);
  round(state);
  state[lo0] = word(state, lo0) ^ low;
  state[hi0] = word(state, hi0) ^ high;
}

function round(v: Int32Array): void {
  add(v, lo0, lo1);
  rotateXor(v, lo1, 13, lo0);
  swapHalves(v, lo0);
  add(v, lo2, lo3);
  rotateXor(v, lo3, 16, lo2);
  add(v, lo0, lo3);
  rotateXor(v, lo3, 21, lo0);
  add(v, lo2, lo1);
  rotateXor(v, lo1, 17, lo2);
  swapHalves(v, lo2);
}

/** v[a] += v[b], modulo 2^64. */
function add(v: Int32Array, a: number, b: number): void {
  const low = (word(v, a) >>> 0) + (word(v, b) >>> 0);
  v[a] = low | 0;
  v[a + 1] = (word(v, a + 1) + word(v, b + 1) + (low > 0xffff_ffff ? 1 : 0)) | 0;
}

/** v[a] = rotate left(v[a], by) ^ v[b]; `by` is below 32. */
function rotateXor(v: Int32Array, a: number, by: number, b: number): void {
  const low = word(v, a);
  const high = word(v, a + 1);
  v[a] = ((low << by) | (high >>> (32 - by))) ^ word(v, b);
  v[a + 1] = ((high << by) | (low >>> (32 - by))) ^ word(v, b + 1);
}

/** Rotation by 32. */
function swapHalves(v: Int32Array, a: number): void {
  const low = word(v, a);
  v[a] = word(v, a + 1);
  v[a + 1] = low;
}
