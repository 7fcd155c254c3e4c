/**
 * Hashes a range of data blocks of a file to level 0 of a dm-verity tree: the part of the work that
 * worker threads share.
 *
 * Blocks are read by one scattering read into a buffer that has room for the salt before each block, so
 * that salt and block are hashed in one call without copying: 1.7 times as fast as copying a hash state
 * that has seen the salt; and digests come as latin1 strings, which is 1.8 times as fast as a Buffer for
 * each (measured). Blocks of zeros, which sparse images are full of, are hashed once.
 * @module
 */
import { hash } from "node:crypto";
import { readvSync, writeSync } from "node:fs";
import { FormatError } from "@imgtool/core";
import { verityBlockSize, verityDigestSize } from "./verity.ts";

/** Data blocks of one hash block. */
export const blocksPerHashBlock: number = verityBlockSize / verityDigestSize;
/** Data blocks per read: 1 MiB. */
const batch = 2 * blocksPerHashBlock;
const zeros = Buffer.alloc(verityBlockSize);

export interface VerityRangeTarget {
  /** File descriptor and byte the data begins at. */
  readonly data: number;
  readonly dataOffset: number;
  /** Number of all data blocks. */
  readonly dataBlocks: number;
  /** File descriptor and byte level 0 begins at. */
  readonly tree: number;
  readonly levelOffset: number;
  readonly salt: Uint8Array;
}

export class VerityRangeHasher {
  readonly #target: VerityRangeTarget;
  readonly #salted: Buffer[] = [];
  readonly #blocks: Buffer[] = [];
  readonly #zeroDigest: string;
  readonly #output: Buffer = Buffer.alloc(batch * verityDigestSize);

  constructor(target: VerityRangeTarget) {
    this.#target = target;
    const { salt } = target;
    const stride = salt.length + verityBlockSize;
    const whole = Buffer.alloc(batch * stride);
    for (let index = 0; index < batch; index++) {
      const salted = whole.subarray(index * stride, (index + 1) * stride);
      salted.set(salt);
      this.#salted.push(salted);
      this.#blocks.push(salted.subarray(salt.length));
    }
    this.#zeroDigest = hash("sha256", Buffer.concat([salt, zeros]), "binary");
  }

  /** Hashes blocks `first` to `first + count` and writes their hash blocks; `first` begins a hash block. */
  hash(first: number, count: number): void {
    const end = Math.min(first + count, this.#target.dataBlocks);
    for (let block = first; block < end; block += batch) this.#hashBatch(block, Math.min(batch, end - block));
  }

  #hashBatch(first: number, count: number): void {
    const { data, dataOffset, tree, levelOffset } = this.#target;
    const wanted = count * verityBlockSize;
    const read = readvSync(
      data,
      count === batch ? this.#blocks : this.#blocks.slice(0, count),
      dataOffset + first * verityBlockSize,
    );
    // A read of a regular file is only short at its end.
    if (read !== wanted)
      throw new FormatError(`the data of a hash tree ends early: expected ${wanted} bytes, found ${read}`, {
        code: "verity-data-short",
        data: { offset: dataOffset + first * verityBlockSize, expected: wanted, found: read },
      });
    for (let index = 0; index < count; index++) {
      const block = this.#blocks[index] as Buffer;
      const digest =
        block.compare(zeros) === 0 ? this.#zeroDigest : hash("sha256", this.#salted[index] as Buffer, "binary");
      this.#output.write(digest, index * verityDigestSize, verityDigestSize, "latin1");
    }
    const length = Math.ceil(count / blocksPerHashBlock) * verityBlockSize;
    this.#output.fill(0, count * verityDigestSize, length);
    const position = levelOffset + (first / blocksPerHashBlock) * verityBlockSize;
    for (let at = 0; at < length;) at += writeSync(tree, this.#output, at, length - at, position + at);
  }
}
