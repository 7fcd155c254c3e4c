/**
 * The hash index of large directories (htree): entries are sorted by a hash of their names, and the
 * first block says at which hash each further block begins. Without it the kernel searches a directory
 * from its beginning.
 * @module
 */
import { parseUuid } from "@imgtool/core";
import { crc32c } from "../../crc32.ts";
import { blockSize } from "./format.ts";

const entriesAt = 32;
/** Entries of the index's root, the first of which stands in for their count. */
export const indexLimit: number = (blockSize - entriesAt - 8) / 8;

/** Half MD4 over names, seeded by the file system; bytes count as signed. */
export class DirectoryHash {
  readonly #seed: Uint32Array;

  constructor(seed: string) {
    const bytes = parseUuid(seed);
    const view = new DataView(bytes.buffer);
    this.#seed = Uint32Array.from({ length: 4 }, (_, index) => view.getUint32(4 * index, true));
  }

  /** The hash of a name: even, below the mark of the end. */
  of(name: Uint8Array): number {
    const state = this.#seed.slice();
    const words = new Uint32Array(8);
    for (let at = 0; at < name.length; at += 32) {
      pack(name.subarray(at), words);
      transform(state, words);
    }
    const hash = ((state[1] as number) & ~1) >>> 0;
    return hash === 0xfffffffe ? 0xfffffffc : hash;
  }
}

/** The first 32 bytes as big-endian words, filled up with the length. */
function pack(name: Uint8Array, words: Uint32Array): void {
  const twice = name.length | (name.length << 8);
  const pad = (twice | (twice << 16)) >>> 0;
  const length = Math.min(name.length, 32);
  words.fill(pad);
  for (let word = 0; 4 * word < length; word++) {
    let value = pad;
    for (let at = 4 * word; at < Math.min(4 * word + 4, length); at++)
      value = (((name[at] as number) << 24) >> 24) + (value << 8);
    words[word] = value;
  }
}

type Mix = (x: number, y: number, z: number) => number;
const rounds: readonly {
  readonly mix: Mix;
  readonly constant: number;
  readonly order: readonly number[];
  readonly shifts: readonly number[];
}[] = [
  { mix: (x, y, z) => z ^ (x & (y ^ z)), constant: 0, order: [0, 1, 2, 3, 4, 5, 6, 7], shifts: [3, 7, 11, 19] },
  {
    mix: (x, y, z) => ((x & y) + ((x ^ y) & z)) | 0,
    constant: 0x5a827999,
    order: [1, 3, 5, 7, 0, 2, 4, 6],
    shifts: [3, 5, 9, 13],
  },
  { mix: (x, y, z) => x ^ y ^ z, constant: 0x6ed9eba1, order: [3, 7, 2, 6, 1, 5, 0, 4], shifts: [3, 9, 11, 15] },
];

function transform(state: Uint32Array, words: Uint32Array): void {
  let [a = 0, b = 0, c = 0, d = 0] = state;
  for (const { mix, constant, order, shifts } of rounds) {
    for (let step = 0; step < 8; step++) {
      const sum = (a + mix(b, c, d) + (words[order[step] as number] as number) + constant) | 0;
      const shift = shifts[step % 4] as number;
      // The registers change places instead of names.
      [a, b, c, d] = [d, (sum << shift) | (sum >>> (32 - shift)), b, c];
    }
  }
  state[0] = (state[0] as number) + a;
  state[1] = (state[1] as number) + b;
  state[2] = (state[2] as number) + c;
  state[3] = (state[3] as number) + d;
}

/** The first block of an indexed directory; `hashes` are those that blocks 1, 2, … begin at. */
export function encodeIndexRoot(
  inode: number,
  parent: number,
  hashes: readonly number[],
  inodeSeed: number,
): Uint8Array {
  const bytes = new Uint8Array(blockSize);
  const view = new DataView(bytes.buffer);
  // To programs that know no index, the block has "." and "..", the latter reaching to its end.
  view.setUint32(0, inode, true);
  view.setUint16(4, 12, true);
  view.setUint16(6, 0x0201, true);
  bytes[8] = 0x2e;
  view.setUint32(12, parent, true);
  view.setUint16(16, blockSize - 12, true);
  view.setUint16(18, 0x0202, true);
  bytes.set([0x2e, 0x2e], 20);
  // Half MD4, 8 bytes of this, no further level.
  view.setUint8(28, 1);
  view.setUint8(29, 8);
  view.setUint16(entriesAt, indexLimit, true);
  view.setUint16(entriesAt + 2, hashes.length, true);
  for (const [index, hash] of hashes.entries()) {
    // The first entry has no hash: it holds whatever is below the second's.
    if (index > 0) view.setUint32(entriesAt + 8 * index, hash, true);
    view.setUint32(entriesAt + 8 * index + 4, index + 1, true);
  }
  const covered = crc32c(bytes.subarray(0, entriesAt + 8 * hashes.length), inodeSeed);
  view.setUint32(blockSize - 4, crc32c(new Uint8Array(8), covered), true);
  return bytes;
}
