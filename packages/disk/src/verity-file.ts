/**
 * Makes the hash partition for a file system image: worker threads hash the data, then the few higher
 * levels are built here. Memory: a megabyte per worker, whatever the size of the image.
 * @module
 */
import { hash } from "node:crypto";
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { availableParallelism } from "node:os";
import { setImmediate } from "node:timers/promises";
import { EnvironmentError, throwIfAborted, type Progress, type Task } from "@imgtool/core";
import { writeError } from "./sparse-file.ts";
import { blocksPerHashBlock, VerityRangeHasher, type VerityRangeTarget } from "./verity-range.ts";
import { encodeVeritySuperblock, VerityTree, verityBlockSizes, verityLayout, type VerityBlockSizes } from "./verity.ts";
import { runPieces, workerUrl } from "./worker-pieces.ts";

/** Bytes of data per piece: whole hash blocks whatever their size. */
const pieceBytes = 16 * 1024 ** 2;
/** A thread takes a tenth of a second to start, in which one thread hashes about this much (measured). */
const bytesPerWorker = 64 * 1024 ** 2;

export interface VerityFileOptions {
  /** File with the data, which begins at `dataOffset` (default 0) and has `dataSize` bytes. */
  readonly data: string;
  readonly dataOffset?: number;
  readonly dataSize: number;
  /** File the superblock and the tree are written to, at `outputOffset` (default 0); made when missing. */
  readonly output: string;
  readonly outputOffset?: number;
  readonly uuid: string;
  readonly salt: Uint8Array;
  /** Default: 4096 bytes. */
  readonly blockSizes?: VerityBlockSizes;
  /** Threads at most. Default: as many as the machine has processors. */
  readonly threads?: number;
  readonly progress?: Progress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface VerityFileResult {
  readonly rootHash: Uint8Array;
  /** Bytes of superblock and tree. */
  readonly size: number;
}

/**
 * Writes superblock and tree, and returns the root hash.
 * @throws FormatError `verity-data-short`, EnvironmentError `no-space` or `write-failed`, AbortedError;
 *   RangeError when `dataSize` is no multiple of a data block
 */
export async function makeVerity(options: VerityFileOptions): Promise<VerityFileResult> {
  const { blockSizes = verityBlockSizes } = options;
  const dataBlocks = options.dataSize / blockSizes.data;
  const layout = verityLayout(dataBlocks, blockSizes.hash);
  const outputOffset = options.outputOffset ?? 0;
  const data = openSync(options.data, "r");
  let tree: number | undefined;
  try {
    tree = openSync(options.output, outputOffset > 0 ? "r+" : "w+");
    const output = tree;
    const put = (offset: number, bytes: Uint8Array): void => {
      for (let at = 0; at < bytes.length;)
        at += writeSync(output, bytes, at, bytes.length - at, outputOffset + offset + at);
    };
    put(0, encodeVeritySuperblock({ uuid: options.uuid, salt: options.salt, dataBlocks, blockSizes }));
    using task = options.progress?.start({ label: "hash tree", unit: "bytes", total: options.dataSize });
    const [level] = layout.levels;
    const rootHash =
      level === undefined
        ? hashSingleBlock(data, options, blockSizes.data)
        : await hashLevels(
            options,
            layout.levels[0]?.offset ?? 0,
            {
              data,
              dataOffset: options.dataOffset ?? 0,
              dataBlocks,
              tree,
              levelOffset: outputOffset + level.offset,
              salt: options.salt,
              blockSizes,
            },
            put,
            task,
          );
    task?.done();
    return { rootHash, size: layout.size };
  } catch (error) {
    throw writeError(options.output, error);
  } finally {
    closeSync(data);
    if (tree !== undefined) closeSync(tree);
  }
}

function hashSingleBlock(data: number, options: VerityFileOptions, size: number): Uint8Array {
  const salted = Buffer.alloc(options.salt.length + size);
  salted.set(options.salt);
  readSync(data, salted, options.salt.length, size, options.dataOffset ?? 0);
  return hash("sha256", salted, "buffer");
}

async function hashLevels(
  options: VerityFileOptions,
  levelStart: number,
  target: VerityRangeTarget,
  put: (offset: number, bytes: Uint8Array) => void,
  task: Task | undefined,
): Promise<Uint8Array> {
  const wanted = Math.floor(options.dataSize / bytesPerWorker);
  const threads = Math.min(options.threads ?? availableParallelism(), wanted);
  const piece = pieceBytes / target.blockSizes.data;
  const pieces = Math.ceil(target.dataBlocks / piece);
  const advance = (): void => task?.advance(pieceBytes);
  if (threads > 1) {
    const worker = workerUrl("verity-worker", import.meta.url);
    await runPieces({ worker, target: { range: target, piece }, pieces, threads, advance, signal: options.signal });
  } else {
    const hasher = new VerityRangeHasher(target);
    for (let index = 0; index < pieces; index++) {
      throwIfAborted(options.signal);
      hasher.hash(index * piece, piece);
      advance();
      await setImmediate();
    }
  }
  // Level 0 now plays the part of the data: its blocks' digests make the levels above it.
  const size = target.blockSizes.hash;
  const blocks = Math.ceil(target.dataBlocks / blocksPerHashBlock(target.blockSizes));
  const upper = new VerityTree({
    dataBlocks: blocks,
    salt: options.salt,
    hash: (bytes) => hash("sha256", bytes, "buffer"),
    write: put,
    blockSizes: { data: size, hash: size },
  });
  const buffer = Buffer.alloc(256 * size);
  for (let block = 0; block < blocks;) {
    throwIfAborted(options.signal);
    const length = Math.min(256, blocks - block) * size;
    const read = readSync(target.tree, buffer, 0, length, (options.outputOffset ?? 0) + levelStart + block * size);
    if (read % size !== 0 || read === 0)
      throw new EnvironmentError(`${options.output}: short read`, { code: "write-failed" });
    upper.update(buffer.subarray(0, read));
    block += read / size;
    await setImmediate();
  }
  return upper.finish();
}

/** Bytes of a hash partition for so many bytes of data. */
export function veritySize(dataSize: number, blockSizes: VerityBlockSizes = verityBlockSizes): number {
  return verityLayout(Math.ceil(dataSize / blockSizes.data), blockSizes.hash).size;
}
