/**
 * A directory as a seed: it is archived with the flags and cut with the sizes of the wanted index, and
 * for each chunk it is kept where its bytes are: in which files, and what stands between them.
 * @module
 */
import { hash } from "node:crypto";
import { closeSync, readSync } from "node:fs";
import { compareBytes, ConfigError, type Progress, silentProgress, systemErrorCode } from "@imgtool/core";
import { type ChunkIndex, IdTable } from "@imgtool/chunker";
import { AT_FDCWD, openat, openFlags } from "@imgtool/host";
import { ChunkPipeline } from "../chunk-pipeline.ts";
import { batched } from "./batch.ts";
import type { Seed } from "../seed.ts";
import type { IdShift } from "./id-shift.ts";
import { walkTree, type TreePiece } from "./walk.ts";

export interface TreeSeedOptions {
  /** The wanted index: its flags, chunk sizes and digest; chunks that it does not name are not kept. */
  readonly index: ChunkIndex;
  /** As the wanted tree was, or will be, shifted. */
  readonly idShift?: IdShift | undefined;
  readonly progress?: Progress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Bytes of a chunk: records as they are, or a range of a file. */
type Part =
  | { readonly bytes: Uint8Array }
  | { readonly path: Buffer; readonly offset: number; readonly length: number };

/**
 * Reads a directory once and makes it a seed.
 * @throws as walkTree()
 */
export async function treeSeed(directory: string, options: TreeSeedOptions): Promise<Seed> {
  const { index, progress = silentProgress, signal } = options;
  using task = progress.start({ label: "read seed", unit: "bytes" });
  task.detail(directory);
  const builder = new SeedBuilder(index);
  // Digests are computed by worker threads, as when an index is made: reading is all that is left here.
  await using pipeline = await ChunkPipeline.open({
    sizes: index.sizes,
    digest: index.digest,
    signal,
    onChunk: (size, id) => builder.endChunk(size, id),
  });
  const idShift = options.idShift === undefined ? undefined : { ...options.idShift, wraps: true };
  try {
    for await (const bytes of batched(builder.watch(walkTree(directory, { flags: index.flags, idShift, signal })))) {
      await pipeline.write(bytes);
      task.advance(bytes.length);
    }
  } catch (error) {
    // What cannot be archived (a .caexclude file that makes no sense) can still be a seed up to there.
    if (!(error instanceof ConfigError)) throw error;
    progress.log("warning", `the seed ${directory} serves in part: ${error.message}`);
  }
  await pipeline.finish();
  task.done(`${builder.found.count} chunks are of use`);
  const root = openat(AT_FDCWD, directory, openFlags.read | openFlags.directory);
  return new TreeSeed(root, directory, index, builder);
}

/** A piece whose chunk is not cut yet. */
type Waiting = { readonly length: number } & (
  | { readonly bytes: Uint8Array }
  | { readonly origin: NonNullable<TreePiece["origin"]> }
);

class SeedBuilder {
  /** Ids of useful chunks, and by their position the parts of each. */
  readonly found = new IdTable();
  readonly parts: (readonly Part[])[] = [];
  readonly #wanted: IdTable;
  /** What was read and is not yet known to be in a chunk. */
  #waiting: Waiting[] = [];
  /** Pieces of it that are taken, and bytes of the one behind them. */
  #taken = 0;
  #takenBytes = 0;

  constructor(index: ChunkIndex) {
    this.#wanted = new IdTable(index.count);
    for (let i = 0; i < index.count; i++) this.#wanted.add(index.id(i));
  }

  /** Passes pieces on, and remembers where they are from. */
  async *watch(pieces: AsyncIterable<TreePiece>): AsyncGenerator<TreePiece, void> {
    for await (const piece of pieces) {
      const { bytes, origin } = piece;
      // Content is read again when it is wanted: what waits does not hold it.
      if (bytes.length > 0)
        this.#waiting.push({ length: bytes.length, ...(origin === undefined ? { bytes } : { origin }) });
      yield piece;
    }
  }

  /** Takes the next chunk of what was passed on. */
  endChunk(size: number, id: Uint8Array): void {
    const known = this.found.count;
    const isUseful = this.#wanted.find(id) >= 0 && this.found.add(id) === known;
    const parts: Part[] = [];
    for (let left = size; left > 0;) {
      const piece = this.#waiting[this.#taken];
      if (piece === undefined) throw new RangeError(`a chunk of ${size} bytes has ${left} that were not read`);
      const from = this.#takenBytes;
      const length = Math.min(left, piece.length - from);
      if (isUseful) parts.push(partOf(piece, from, length));
      left -= length;
      this.#takenBytes += length;
      if (this.#takenBytes === piece.length) {
        this.#taken++;
        this.#takenBytes = 0;
      }
    }
    if (isUseful) this.parts.push(parts);
    if (this.#taken > 1000) {
      this.#waiting = this.#waiting.slice(this.#taken);
      this.#taken = 0;
    }
  }
}

function partOf(piece: Waiting, from: number, length: number): Part {
  if ("bytes" in piece) return { bytes: piece.bytes.subarray(from, from + length) };
  return { path: piece.origin.path, offset: piece.origin.offset + from, length };
}

class TreeSeed implements Seed {
  readonly location: string;
  readonly #root: number;
  readonly #index: ChunkIndex;
  readonly #chunks: SeedBuilder;

  constructor(root: number, location: string, index: ChunkIndex, chunks: SeedBuilder) {
    this.#root = root;
    this.location = location;
    this.#index = index;
    this.#chunks = chunks;
  }

  async read(id: Uint8Array, size: number): Promise<Uint8Array | undefined> {
    const position = this.#chunks.found.find(id);
    if (position < 0) return undefined;
    const bytes = new Uint8Array(size);
    let filled = 0;
    for (const part of this.#chunks.parts[position] ?? []) {
      const length = "bytes" in part ? part.bytes.length : part.length;
      if (filled + length > size) return undefined;
      if ("bytes" in part) bytes.set(part.bytes, filled);
      else if (!readRange(this.#root, part, bytes.subarray(filled, filled + length))) return undefined;
      filled += length;
    }
    if (filled !== size) return undefined;
    return compareBytes(hash(this.#index.digest, bytes, "buffer"), id) === 0 ? bytes : undefined;
  }

  async close(): Promise<void> {
    closeSync(this.#root);
  }
}

/** Fills the view from a file below the root; false when the file is gone, shorter, or something else now. */
function readRange(root: number, part: Extract<Part, { readonly path: Buffer }>, view: Uint8Array): boolean {
  let descriptor: number;
  try {
    descriptor = openat(root, part.path, openFlags.read | openFlags.noFollow | openFlags.nonBlock);
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    return false;
  }
  try {
    for (let done = 0; done < view.length;) {
      const count = readSync(descriptor, view, done, view.length - done, part.offset + done);
      if (count === 0) return false;
      done += count;
    }
    return true;
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    return false;
  } finally {
    closeSync(descriptor);
  }
}
