/**
 * Compressed extents of btrfs (btrfs.readthedocs.io, "Compression"): pieces of 128 KiB, each a zlib stream or
 * a zstd frame of its own, kept where that saves a sector. They are made before the file system is planned,
 * since what they need decides where everything is, and wait in a file of their own.
 * @module
 */
import { closeSync } from "node:fs";
import { open, rm, type FileHandle } from "node:fs/promises";
import { promisify } from "node:util";
import { constants, deflate, zstdCompress } from "node:zlib";
import { throwIfAborted } from "@imgtool/core";
import { writeError } from "../../sparse-file.ts";
import { walk, type TreeNode } from "../../tree/node.ts";
import type { CompressionChoice } from "../compression.ts";
import { findDataRuns, openContent, readRun } from "../data-runs.ts";
import { sectorSize } from "./format.ts";
import { alignUp } from "./space.ts";

/** The most that an extent holds (BTRFS_MAX_UNCOMPRESSED), so that little is read for a single block. */
const pieceLength = 131_072;
/** The window that the kernel has room for (ZSTD_BTRFS_MAX_WINDOWLOG). */
const windowLog = 17;
/** Of both, in the kernel and in mkfs.btrfs. */
const usualLevel = 3;
/** Pieces that are compressed at a time; their order in the file does not depend on it. */
const together = 16;

/** Numbers in the items of extents. */
export const compressionTypes = { none: 0, zlib: 1, zstd: 3 } as const;

/** A piece of a file. */
export interface Piece {
  /** In the file; bytes. */
  readonly offset: number;
  /** Bytes, up to the end of the file. */
  readonly length: number;
  /** Where it is in the scratch file, whole sectors; undefined: it is kept as it is. */
  readonly stored: { readonly offset: number; readonly length: number } | undefined;
}

export interface CompressedTree {
  readonly type: number;
  /** The scratch file. */
  readonly path: string;
  readonly pieces: ReadonlyMap<TreeNode, readonly Piece[]>;
  /** What files that are kept in the tree become where that is shorter. */
  readonly inline: ReadonlyMap<TreeNode, Buffer>;
}

/**
 * Compresses the files of a tree into a scratch file, which the caller removes.
 * @param largestInline files whose bytes, compressed, are no more are kept in the tree, up to a sector
 */
export async function compressTree(
  tree: TreeNode,
  { algorithm, level = usualLevel }: CompressionChoice,
  path: string,
  largestInline: number,
  signal: AbortSignal | undefined,
): Promise<CompressedTree> {
  const compress = algorithm === "zlib" ? zlibCompressor(level) : zstdCompressor(level);
  const pieces = new Map<TreeNode, readonly Piece[]>();
  const inline = new Map<TreeNode, Buffer>();
  try {
    await using scratch = await open(path, "w");
    const store = new Store(scratch);
    for (const { node, again } of walk(tree)) {
      if (again || node.kind !== "file" || node.source === undefined || node.size === 0) continue;
      throwIfAborted(signal);
      if (node.size <= sectorSize) {
        const short = await compress(readPiece(node.source, { offset: 0, length: node.size }, node.size));
        if (short.length < node.size && short.length <= largestInline) {
          inline.set(node, short);
          continue;
        }
        if (node.size <= largestInline) continue;
      }
      pieces.set(node, await compressFile(node.source, node.size, compress, store, signal));
    }
  } catch (error) {
    await rm(path, { force: true });
    throw writeError(path, error);
  }
  return { type: compressionTypes[algorithm === "zlib" ? "zlib" : "zstd"], path, pieces, inline };
}

type Compressor = (bytes: Buffer) => Promise<Buffer>;

async function compressFile(
  source: Buffer,
  size: number,
  compress: Compressor,
  store: Store,
  signal: AbortSignal | undefined,
): Promise<Piece[]> {
  const wanted: { offset: number; length: number }[] = [];
  for (const run of findDataRuns(source, size, signal))
    for (let at = 0; at < run.length; at += pieceLength)
      wanted.push({ offset: run.offset + at, length: Math.min(pieceLength, run.length - at) });
  const pieces: Piece[] = [];
  for (let at = 0; at < wanted.length; at += together) {
    throwIfAborted(signal);
    const group = wanted.slice(at, at + together);
    const results = await Promise.all(
      // With zeros up to a whole sector: the kernel then gets as many bytes as the extent says.
      group.map(async (one) => await compress(readPiece(source, one, alignUp(one.length, sectorSize)))),
    );
    for (const [index, piece] of group.entries()) {
      const bytes = results[index] ?? Buffer.alloc(0);
      const saves = alignUp(bytes.length, sectorSize) < alignUp(piece.length, sectorSize);
      if (saves) pieces.push({ ...piece, stored: await store.add(bytes) });
      else addPlain(pieces, piece);
    }
  }
  return pieces;
}

/** What is kept as it is, is one piece with what comes before. */
function addPlain(pieces: Piece[], { offset, length }: Pick<Piece, "offset" | "length">): void {
  const last = pieces.at(-1);
  if (last === undefined || last.stored !== undefined || last.offset + last.length !== offset) {
    pieces.push({ offset, length, stored: undefined });
    return;
  }
  pieces[pieces.length - 1] = { ...last, length: last.length + length };
}

function readPiece(source: Buffer, run: { readonly offset: number; readonly length: number }, room: number): Buffer {
  const bytes = Buffer.alloc(room);
  const file = openContent(source);
  try {
    readRun(file, source, run, (at, length) => bytes.subarray(at - run.offset, at - run.offset + length));
  } finally {
    closeSync(file);
  }
  return bytes;
}

class Store {
  readonly #file: FileHandle;
  #end = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Keeps bytes, with zeros up to a whole sector. */
  async add(bytes: Buffer): Promise<{ offset: number; length: number }> {
    const offset = this.#end;
    const length = alignUp(bytes.length, sectorSize);
    const padded = Buffer.concat([bytes, Buffer.alloc(length - bytes.length)]);
    for (let at = 0; at < length;) at += (await this.#file.write(padded, at, length - at, offset + at)).bytesWritten;
    this.#end += length;
    return { offset, length };
  }
}

function zlibCompressor(level: number): Compressor {
  const compress = promisify<Buffer, { level: number }, Buffer>(deflate);
  return async (bytes) => await compress(bytes, { level });
}

function zstdCompressor(level: number): Compressor {
  const compress = promisify<Buffer, { params: Record<number, number>; pledgedSrcSize: number }, Buffer>(zstdCompress);
  const params = { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_windowLog]: windowLog };
  return async (bytes) => await compress(bytes, { params, pledgedSrcSize: bytes.length });
}
