/**
 * Compresses LZ4 blocks (lz4/lz4, doc/lz4_Block_format.md), without a frame around them, as EROFS keeps them.
 * Node.js has no LZ4, and the packages for it are native or write frames.
 *
 * Level 0 takes the first match that a hash leads to, as LZ4's fast mode does; higher levels follow chains of
 * earlier places with the same hash and look one byte ahead, as its high compression does.
 * @module
 */

/** The least match. */
const leastMatch = 4;
/** So many bytes at the end are literals. */
const lastLiterals = 5;
/** No match begins in so many bytes at the end. */
const matchLimit = 12;
const largestDistance = 65_535;
const hashBits = 15;
/** Level 0 looks at every second, third, … byte once so many did not match, as a power of two. */
const patience = 6;

export interface Lz4Compressor {
  /** Bytes of the block that `target` has then; 0 where it has no room for it. */
  compress(source: Uint8Array, target: Uint8Array): number;
}

/**
 * @param level 0 for the fast mode, up to 12; each looks at twice as many places as the one before
 * @throws RangeError for another level
 */
export function makeLz4Compressor(level: number): Lz4Compressor {
  if (!Number.isInteger(level) || level < 0 || level > 12)
    throw new RangeError(`LZ4 has levels from 0 to 12, not ${level}`);
  const heads = new Int32Array(1 << hashBits);
  if (level === 0) return { compress: (source, target) => compressFast(source, target, heads) };
  const chains = new Chains(heads, 1 << (level - 1));
  return { compress: (source, target) => compressHigh(source, target, chains) };
}

function read32(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  );
}

function hash(value: number): number {
  return Math.imul(value, 0x9e3779b1) >>> (32 - hashBits);
}

/** Bytes that are the same from two places on, at most up to `end` for the later one. */
function matchLength(bytes: Uint8Array, earlier: number, later: number, end: number): number {
  let at = later;
  while (at < end && bytes[earlier] === bytes[at]) {
    earlier++;
    at++;
  }
  return at - later;
}

function compressFast(source: Uint8Array, target: Uint8Array, heads: Int32Array): number {
  heads.fill(-1);
  const writer = new SequenceWriter(source, target);
  const end = source.length - lastLiterals;
  const limit = source.length - matchLimit;
  let at = 0;
  let misses = 0;
  while (at <= limit) {
    const value = read32(source, at);
    const slot = hash(value);
    let candidate = heads[slot] as number;
    heads[slot] = at;
    if (candidate < 0 || at - candidate > largestDistance || read32(source, candidate) !== value) {
      at += 1 + (misses++ >> patience);
      continue;
    }
    misses = 0;
    // What was passed over may match, too.
    let start = at;
    while (start > writer.anchor && candidate > 0 && source[start - 1] === source[candidate - 1]) {
      start--;
      candidate--;
    }
    const length = matchLength(source, candidate, start, end);
    if (!writer.sequence(start, start - candidate, length)) return 0;
    at = writer.anchor;
    if (at <= limit) heads[hash(read32(source, at - 2))] = at - 2;
  }
  return writer.finish();
}

interface Match {
  distance: number;
  length: number;
}

/** All earlier places, by the hash of what is there. */
class Chains {
  readonly #heads: Int32Array;
  /** The place before with the same hash, by the lower bits of a place. */
  readonly #before = new Int32Array(largestDistance + 1);
  readonly #depth: number;
  #next = 0;

  constructor(heads: Int32Array, depth: number) {
    this.#heads = heads;
    this.#depth = depth;
  }

  reset(): void {
    this.#heads.fill(-1);
    this.#next = 0;
  }

  /** The longest match at a place that is longer than `longerThan`; a distance of 0 for none. */
  find(bytes: Uint8Array, at: number, end: number, longerThan: number, match: Match): void {
    this.#insert(bytes, at);
    match.length = longerThan;
    match.distance = 0;
    const value = read32(bytes, at);
    let candidate = this.#heads[hash(value)] as number;
    for (let left = this.#depth; left > 0 && candidate >= 0 && at - candidate <= largestDistance; left--) {
      if (bytes[candidate + match.length] === bytes[at + match.length] && read32(bytes, candidate) === value) {
        const length = matchLength(bytes, candidate, at, end);
        if (length > match.length) {
          match.length = length;
          match.distance = at - candidate;
          if (at + length >= end) break;
        }
      }
      const before = this.#before[candidate & largestDistance] as number;
      // A slot that a later place has taken leads forward: the chain ends there.
      if (before >= candidate) break;
      candidate = before;
    }
  }

  /** Adds the places before `to`. */
  #insert(bytes: Uint8Array, to: number): void {
    for (; this.#next < to; this.#next++) {
      const slot = hash(read32(bytes, this.#next));
      this.#before[this.#next & largestDistance] = this.#heads[slot] as number;
      this.#heads[slot] = this.#next;
    }
  }
}

function compressHigh(source: Uint8Array, target: Uint8Array, chains: Chains): number {
  chains.reset();
  const writer = new SequenceWriter(source, target);
  const end = source.length - lastLiterals;
  const limit = source.length - matchLimit;
  let match: Match = { distance: 0, length: 0 };
  let later: Match = { distance: 0, length: 0 };
  let at = 0;
  while (at <= limit) {
    chains.find(source, at, end, leastMatch - 1, match);
    if (match.distance === 0) {
      at++;
      continue;
    }
    // A longer match one byte later is worth that byte.
    while (at < limit) {
      chains.find(source, at + 1, end, match.length, later);
      if (later.distance === 0) break;
      [match, later] = [later, match];
      at++;
    }
    if (!writer.sequence(at, match.distance, match.length)) return 0;
    at = writer.anchor;
  }
  return writer.finish();
}

/** Writes sequences: literals, then a match. */
class SequenceWriter {
  readonly #source: Uint8Array;
  readonly #target: Uint8Array;
  #at = 0;
  /** The first byte that is not written yet. */
  anchor = 0;

  constructor(source: Uint8Array, target: Uint8Array) {
    this.#source = source;
    this.#target = target;
  }

  /** Writes what is before `start`, and the match there; false where there is no room. */
  sequence(start: number, distance: number, length: number): boolean {
    const more = length - leastMatch;
    if (!this.#literals(start, Math.min(more, 15), 2 + (more < 15 ? 0 : 1 + Math.floor((more - 15) / 255))))
      return false;
    this.#target[this.#at++] = distance & 0xff;
    this.#target[this.#at++] = distance >> 8;
    if (more >= 15) this.#length(more - 15);
    this.anchor = start + length;
    return true;
  }

  /** Writes what is left; bytes of the whole, 0 where there is no room. */
  finish(): number {
    return this.#literals(this.#source.length, 0, 0) ? this.#at : 0;
  }

  #literals(to: number, matchBits: number, reserve: number): boolean {
    const count = to - this.anchor;
    const extra = count < 15 ? 0 : 1 + Math.floor((count - 15) / 255);
    if (this.#at + 1 + extra + count + reserve > this.#target.length) return false;
    this.#target[this.#at++] = (Math.min(count, 15) << 4) | matchBits;
    if (count >= 15) this.#length(count - 15);
    // Short ones are the most, for which a call of set() costs more than the loop.
    if (count > 32) this.#target.set(this.#source.subarray(this.anchor, to), this.#at);
    else
      for (let index = 0; index < count; index++)
        this.#target[this.#at + index] = this.#source[this.anchor + index] as number;
    this.#at += count;
    return true;
  }

  #length(rest: number): void {
    for (; rest >= 255; rest -= 255) this.#target[this.#at++] = 255;
    this.#target[this.#at++] = rest;
  }
}
