/**
 * Hashes a range of data blocks of a file to level 0 of a dm-verity tree: the part of the work that
 * worker threads share.
 *
 * Blocks are read by one scattering read into a batch that has room for the salt before each block, so that
 * salt and block are hashed together without copying; several blocks are hashed at a time where the machine
 * can. Blocks of zeros, which sparse images are full of, are hashed once.
 * @module
 */
import { hash } from "node:crypto";
import { readvSync, writeSync } from "node:fs";
import { FormatError } from "@imgtool/core";
import { sha256Batch, type Sha256Batch } from "@imgtool/host/sha256";
import { verityDigestSize, type VerityBlockSizes } from "./verity.ts";

/** Data blocks of one hash block. */
export function blocksPerHashBlock(sizes: VerityBlockSizes): number {
  return sizes.hash / verityDigestSize;
}

/** Bytes per read, in no more blocks than one scattering read takes (IOV_MAX): whole hash blocks in any case. */
const batchBytes = 1024 ** 2;
const mostBlocks = 1024;

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
  readonly blockSizes: VerityBlockSizes;
}

export class VerityRangeHasher {
  readonly #target: VerityRangeTarget;
  readonly #batch: Sha256Batch;
  readonly #blocks: readonly Buffer[];
  readonly #zeros: Buffer;
  readonly #zeroDigest: Buffer;
  readonly #output: Buffer;

  constructor(target: VerityRangeTarget) {
    this.#target = target;
    const { salt, blockSizes } = target;
    const batch = Math.min(batchBytes / blockSizes.data, mostBlocks);
    this.#output = Buffer.alloc(batch * verityDigestSize);
    this.#zeros = Buffer.alloc(blockSizes.data);
    this.#batch = sha256Batch(salt.length + blockSizes.data, batch);
    for (const salted of this.#batch.messages) salted.set(salt);
    this.#blocks = this.#batch.messages.map((salted) => salted.subarray(salt.length));
    this.#zeroDigest = hash("sha256", Buffer.concat([salt, this.#zeros]), "buffer");
  }

  /** Hashes blocks `first` to `first + count` and writes their hash blocks; `first` begins a hash block. */
  hash(first: number, count: number): void {
    const end = Math.min(first + count, this.#target.dataBlocks);
    const batch = this.#blocks.length;
    for (let block = first; block < end; block += batch) this.#hashBatch(block, Math.min(batch, end - block));
  }

  #hashBatch(first: number, count: number): void {
    const { data, dataOffset, tree, levelOffset, blockSizes } = this.#target;
    const wanted = count * blockSizes.data;
    const read = readvSync(
      data,
      count === this.#blocks.length ? this.#blocks : this.#blocks.slice(0, count),
      dataOffset + first * blockSizes.data,
    );
    // A read of a regular file is only short at its end.
    if (read !== wanted)
      throw new FormatError(`the data of a hash tree ends early: expected ${wanted} bytes, found ${read}`, {
        code: "verity-data-short",
        data: { offset: dataOffset + first * blockSizes.data, expected: wanted, found: read },
      });
    const others: number[] = [];
    for (let index = 0; index < count; index++) {
      if ((this.#blocks[index] as Buffer).compare(this.#zeros) === 0)
        this.#output.set(this.#zeroDigest, index * verityDigestSize);
      else others.push(index);
    }
    this.#batch.digest(others, this.#output);
    const perBlock = blocksPerHashBlock(blockSizes);
    const length = Math.ceil(count / perBlock) * blockSizes.hash;
    this.#output.fill(0, count * verityDigestSize, length);
    const position = levelOffset + (first / perBlock) * blockSizes.hash;
    for (let at = 0; at < length;) at += writeSync(tree, this.#output, at, length - at, position + at);
  }
}
