/**
 * Compressed files of EROFS (Linux, Documentation/filesystems/erofs.rst): pieces of 64 KiB, each in as few blocks as
 * it needs, with zeros in front of what it is compressed to; what saves no block is kept as it is. Each block of
 * the file has an entry in an index behind its inode.
 *
 * Files are compressed before anything has a place, since that depends on what they need. They wait in a file of
 * their own: to compress them a second time would cost more than to copy them.
 * @module
 */
import { closeSync } from "node:fs";
import { open, rm, type FileHandle } from "node:fs/promises";
import { throwIfAborted } from "@imgtool/core";
import { writeError } from "../../sparse-file.ts";
import { walk, type TreeNode } from "../../tree/node.ts";
import type { CompressionChoice } from "../compression.ts";
import { openContent, readRun } from "../data-runs.ts";
import { findAlgorithm, pieceLength, type ErofsAlgorithm } from "./algorithms.ts";
import { blockSize } from "./format.ts";

/** Pieces of zeros that become one: as many as LZ4, which saves 254 bytes in 255, has in a block. */
const zeroPieces = 15;
/** Pieces that are compressed at a time; their order in the file does not depend on it. */
const together = 16;
/** The most blocks of a compressed piece: one fewer than it has. */
const largest: number = pieceLength / blockSize - 1;
const zeros = Buffer.alloc(zeroPieces * pieceLength);

/** Bytes of an index's header, and of each entry. */
const headerSize = 16;
const entrySize = 8;
const entryTypes = { plain: 0, head: 1, behind: 2 } as const;
/** The first entry behind a head has the compressed piece's blocks, marked so. */
const blockCount = 0x800;
/** Compressed pieces may have more than a block. */
const bigPieces = 0x2;

/** A piece of a file. */
interface Piece {
  /** Bytes, before compression. */
  readonly length: number;
  /** Blocks that it needs. */
  readonly blocks: number;
  readonly plain: boolean;
}

export interface CompressedFile {
  readonly pieces: readonly Piece[];
  /** Where it is in the scratch file, in bytes. */
  readonly offset: number;
  /** Blocks of all pieces. */
  readonly blocks: number;
}

export interface CompressedTree {
  readonly algorithm: Pick<ErofsAlgorithm, "number" | "configuration">;
  /** The scratch file. */
  readonly path: string;
  /** Those that are smaller than before. */
  readonly files: ReadonlyMap<TreeNode, CompressedFile>;
}

/** Compresses the files of a tree into a scratch file, which the caller removes. */
export async function compressTree(
  tree: TreeNode,
  choice: CompressionChoice,
  path: string,
  signal: AbortSignal | undefined,
): Promise<CompressedTree> {
  const algorithm = findAlgorithm(choice, largest);
  const files = new Map<TreeNode, CompressedFile>();
  try {
    await using scratch = await open(path, "w");
    const store = new Store(scratch);
    const compressor = new PieceCompressor(algorithm);
    const queue: Promise<Result>[] = [];
    const next = async (): Promise<void> => {
      const result = await queue.shift();
      if (result !== undefined) await store.add(result, files);
    };
    for (const { node, again } of walk(tree)) {
      // What fits a block stands with its inode.
      if (again || node.kind !== "file" || node.source === undefined || node.size <= blockSize) continue;
      throwIfAborted(signal);
      for (const { bytes, last } of cutPieces(node.source, node.size)) {
        const result = compressor.compress(bytes);
        const found = result.then((one) => ({ ...one, node, last }));
        // Whoever awaits it learns of the error; until then it is not one that nobody handles.
        found.catch(() => {});
        queue.push(found);
        if (queue.length >= together) {
          await next();
          throwIfAborted(signal);
        }
      }
    }
    while (queue.length > 0) await next();
  } catch (error) {
    await rm(path, { force: true });
    throw writeError(path, error);
  }
  return { algorithm, path, files };
}

/** Bytes behind an inode of a file of `size` bytes that is compressed; they begin on a multiple of 8. */
export function indexSize(size: number): number {
  return headerSize + Math.ceil(size / blockSize) * entrySize;
}

/**
 * The index of a compressed file.
 * @param block the first of its blocks
 */
export function encodeIndex({ pieces }: CompressedFile, size: number, block: number, algorithm: number): Uint8Array {
  const bytes = new Uint8Array(indexSize(size));
  const view = new DataView(bytes.buffer);
  view.setUint16(4, bigPieces, true);
  view.setUint8(6, algorithm);
  let at = headerSize;
  const add = (type: number, offset: number, low: number, high: number): void => {
    view.setUint16(at, type, true);
    view.setUint16(at + 2, offset, true);
    view.setUint16(at + 4, low, true);
    view.setUint16(at + 6, high, true);
    at += entrySize;
  };
  const addStart = (type: number, start: number): void => add(type, 0, start & 0xffff, start >>> 16);
  for (const piece of pieces) {
    if (piece.plain) for (let index = 0; index < piece.blocks; index++) addStart(entryTypes.plain, block + index);
    else {
      const whole = Math.floor(piece.length / blockSize);
      addStart(entryTypes.head, block);
      for (let index = 1; index < whole; index++)
        add(entryTypes.behind, 0, index === 1 ? blockCount | piece.blocks : index, whole - index);
      // Where the piece ends within a block: one begins there that has nothing.
      const rest = piece.length % blockSize;
      if (rest > 0) add(entryTypes.plain, rest, 0, 0);
    }
    block += piece.blocks;
  }
  return bytes;
}

interface PieceBytes {
  readonly bytes: Buffer;
  readonly last: boolean;
}

/** The pieces of a file: zeros as long as they go, up to their limit, and data. */
function* cutPieces(source: Buffer, size: number): Generator<PieceBytes> {
  const file = openContent(source);
  try {
    let zeroLength = 0;
    for (let offset = 0; offset < size; offset += pieceLength) {
      const length = Math.min(pieceLength, size - offset);
      const bytes = Buffer.allocUnsafe(length);
      readRun(file, source, { offset, length }, (at, wanted) => bytes.subarray(at - offset, at - offset + wanted));
      const isLast = offset + length === size;
      const isZero = length === pieceLength && bytes.compare(zeros, 0, length) === 0;
      if (zeroLength > 0 && (!isZero || zeroLength === zeroPieces * pieceLength)) {
        yield { bytes: zeros.subarray(0, zeroLength), last: false };
        zeroLength = 0;
      }
      if (isZero) zeroLength += length;
      if (!isZero || isLast) yield { bytes: isZero ? zeros.subarray(0, zeroLength) : bytes, last: isLast };
    }
  } finally {
    closeSync(file);
  }
}

interface Compressed {
  readonly bytes: Uint8Array;
  readonly piece: Piece;
}

type Result = Compressed & { readonly node: TreeNode; readonly last: boolean };

/** Compresses pieces, those of zeros once for each length. */
class PieceCompressor {
  readonly #algorithm: ErofsAlgorithm;
  readonly #zeros = new Map<number, Promise<Compressed>>();

  constructor(algorithm: ErofsAlgorithm) {
    this.#algorithm = algorithm;
  }

  async compress(bytes: Buffer): Promise<Compressed> {
    if (bytes.buffer !== zeros.buffer) return await this.#attempt(bytes);
    const known = this.#zeros.get(bytes.length) ?? this.#attempt(bytes);
    this.#zeros.set(bytes.length, known);
    return await known;
  }

  async #attempt(bytes: Buffer): Promise<Compressed> {
    const { length } = bytes;
    const blocks = Math.ceil(length / blockSize);
    const limit = Math.min(blocks - 1, largest) * blockSize;
    const found = limit === 0 ? undefined : await this.#algorithm.compress(bytes, limit);
    if (found === undefined) return { bytes, piece: { length, blocks, plain: true } };
    return { bytes: found, piece: { length, blocks: Math.ceil(found.length / blockSize), plain: false } };
  }
}

/** The scratch file: the blocks of compressed files, one after the other. */
class Store {
  readonly #file: FileHandle;
  #end = 0;
  #begin = 0;
  #pieces: Piece[] = [];

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Keeps a piece; with the last of a file decides whether that has become smaller. */
  async add({ bytes, piece, node, last }: Result, files: Map<TreeNode, CompressedFile>): Promise<void> {
    const room = Buffer.alloc(piece.blocks * blockSize);
    room.set(bytes, piece.plain ? 0 : room.length - bytes.length);
    for (let at = 0; at < room.length;)
      at += (await this.#file.write(room, at, room.length - at, this.#end + at)).bytesWritten;
    this.#end += room.length;
    this.#pieces.push(piece);
    if (!last) return;
    const blocks = (this.#end - this.#begin) / blockSize;
    // The end of a plain file may stand with its inode.
    if (blocks * blockSize + indexSize(node.size) < node.size) {
      files.set(node, { pieces: this.#pieces, offset: this.#begin, blocks });
      this.#begin = this.#end;
    } else this.#end = this.#begin;
    this.#pieces = [];
  }
}
