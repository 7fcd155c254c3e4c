/**
 * A directory as a seed: it is archived with the flags and cut with the sizes of the wanted index, and
 * for each chunk it is kept where its bytes are: in which files, and what stands between them.
 * @module
 */
import { hash } from "node:crypto";
import { closeSync, readSync } from "node:fs";
import { compareBytes, ConfigError, type Progress, silentProgress, systemErrorCode } from "@imgtool/core";
import { type ChunkIndex, IdTable } from "@imgtool/chunker";
import { openat, openFlags } from "@imgtool/host";
import { ChunkPipeline } from "../chunk-pipeline.ts";
import type { Seed, SeedPlace } from "../seed.ts";
import { type FedPiece, feedTree } from "./feed-tree.ts";
import type { IdShift } from "./id-shift.ts";
import { openSource } from "./walk-nodes.ts";

export interface TreeSeedOptions {
  /** The wanted index: its flags, chunk sizes and digest; chunks that it does not name are not kept. */
  readonly index: ChunkIndex;
  /** As the wanted tree was, or will be, shifted. */
  readonly idShift?: IdShift | undefined;
  readonly progress?: Progress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Bytes of a chunk: records as they are, or a range of a file. */
type Part = FedPiece;

/**
 * A directory as a seed, which is read when it is scanned.
 * @throws NotFoundError `source-missing`; SystemCallError
 */
export function lazyTreeSeed(directory: string, options: TreeSeedOptions): Seed {
  return new TreeSeed(openSource(directory), directory, options);
}

/** As lazyTreeSeed(), scanned now. @throws as walkTree() */
export async function treeSeed(directory: string, options: TreeSeedOptions): Promise<Seed> {
  const seed = lazyTreeSeed(directory, options);
  try {
    await seed.scan?.();
    return seed;
  } catch (error) {
    await seed.close();
    throw error;
  }
}

/** Archives and cuts a directory; of each chunk that is of use it is kept where its bytes are. */
async function scanDirectory(directory: string, options: TreeSeedOptions, builder: SeedBuilder): Promise<void> {
  const { index, progress = silentProgress, signal } = options;
  using task = progress.start({ label: "read seed", unit: "bytes" });
  task.detail(directory);
  // Digests are computed by worker threads, as when an index is made: reading is all that is left here.
  await using pipeline = await ChunkPipeline.open({
    sizes: index.sizes,
    digest: index.digest,
    signal,
    onChunk: (size, id) => builder.endChunk(size, id),
  });
  const idShift = options.idShift === undefined ? undefined : { ...options.idShift, wraps: true };
  try {
    const onPiece = (piece: FedPiece): void => builder.read(piece);
    await feedTree(pipeline, directory, { flags: index.flags, idShift, signal, task, onPiece });
  } catch (error) {
    // What cannot be archived (a .caexclude file that makes no sense) can still be a seed up to there.
    if (!(error instanceof ConfigError)) throw error;
    progress.log("warning", `the seed ${directory} serves in part: ${error.message}`);
  }
  await pipeline.finish();
  task.done(`${builder.found.count} chunks are of use`);
}

class SeedBuilder {
  /** Ids of useful chunks, and by their position the parts of each. */
  readonly found = new IdTable();
  readonly parts: (readonly Part[])[] = [];
  readonly #wanted: IdTable;
  /** What was read and is not yet known to be in a chunk. */
  #waiting: FedPiece[] = [];
  /** Pieces of it that are taken, and bytes of the one behind them. */
  #taken = 0;
  #takenBytes = 0;

  constructor(index: ChunkIndex) {
    this.#wanted = new IdTable(index.count);
    for (let i = 0; i < index.count; i++) this.#wanted.add(index.id(i));
  }

  /** Takes a piece that is written to the cutter. Content is read again when it is wanted. */
  read(piece: FedPiece): void {
    if (lengthOf(piece) > 0) this.#waiting.push(piece);
  }

  /** Takes the next chunk of what was read. */
  endChunk(size: number, id: Uint8Array): void {
    const known = this.found.count;
    const isUseful = this.#wanted.find(id) >= 0 && this.found.add(id) === known;
    const parts: Part[] = [];
    for (let left = size; left > 0;) {
      const piece = this.#waiting[this.#taken];
      if (piece === undefined) throw new RangeError(`a chunk of ${size} bytes has ${left} that were not read`);
      const from = this.#takenBytes;
      const length = Math.min(left, lengthOf(piece) - from);
      if (isUseful) parts.push(partOf(piece, from, length));
      left -= length;
      this.#takenBytes += length;
      if (this.#takenBytes === lengthOf(piece)) {
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

function lengthOf(piece: FedPiece): number {
  return "bytes" in piece ? piece.bytes.length : piece.length;
}

function partOf(piece: FedPiece, from: number, length: number): Part {
  if ("bytes" in piece) return { bytes: piece.bytes.subarray(from, from + length) };
  return { path: piece.path, offset: piece.offset + from, length };
}

class TreeSeed implements Seed {
  readonly location: string;
  readonly directory: number;
  readonly #root: number;
  readonly #options: TreeSeedOptions;
  readonly #chunks: SeedBuilder;
  #isScanned = false;

  constructor(root: number, location: string, options: TreeSeedOptions) {
    this.#root = root;
    this.directory = root;
    this.location = location;
    this.#options = options;
    this.#chunks = new SeedBuilder(options.index);
  }

  async scan(): Promise<void> {
    if (this.#isScanned) return;
    this.#isScanned = true;
    await scanDirectory(this.location, this.#options, this.#chunks);
  }

  async read(id: Uint8Array, size: number): Promise<Uint8Array | undefined> {
    const position = this.#chunks.found.find(id);
    const bytes = new Uint8Array(size);
    if (position < 0 || !this.#fill(position, bytes)) return undefined;
    return compareBytes(hash(this.#options.index.digest, bytes, "buffer"), id) === 0 ? bytes : undefined;
  }

  place(id: Uint8Array): SeedPlace | undefined {
    const position = this.#chunks.found.find(id);
    return position < 0 ? undefined : { fill: (view) => this.#fill(position, view) };
  }

  #fill(position: number, view: Uint8Array): boolean {
    let filled = 0;
    for (const part of this.#chunks.parts[position] ?? []) {
      const length = lengthOf(part);
      if (filled + length > view.length) return false;
      if ("bytes" in part) view.set(part.bytes, filled);
      else if (!readRange(this.#root, part, view.subarray(filled, filled + length))) return false;
      filled += length;
    }
    return filled === view.length;
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
