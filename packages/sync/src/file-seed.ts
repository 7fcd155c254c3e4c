/**
 * A file as a seed: a former version of a blob, a partition, any file with similar content.
 * @module
 */
import { hash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import {
  compareBytes,
  EnvironmentError,
  errorMessage,
  NotFoundError,
  type Progress,
  silentProgress,
  systemErrorCode,
} from "@imgtool/core";
import { type ChunkIndex, type ChunkSizes, type DigestAlgorithm, IdTable } from "@imgtool/chunker";
import { feedSource } from "./byte-source.ts";
import { ChunkPipeline } from "./chunk-pipeline.ts";
import type { CopyTarget } from "./chunk-placer.ts";
import type { Seed, SeedFile, SeedPlace } from "./seed.ts";

export interface BlobSeedOptions {
  /** What the wanted index was cut with; other sizes find nothing that is equal. */
  readonly sizes: ChunkSizes;
  readonly digest: DigestAlgorithm;
  /** Worker threads besides this one. Default: one per processor but one. */
  readonly workers?: number | undefined;
  readonly progress?: Progress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * A seed from a file that is cut and digested when it is scanned.
 * @throws NotFoundError `source-missing`; EnvironmentError `source-not-readable`
 */
export async function lazyBlobSeed(path: string, options: BlobSeedOptions): Promise<Seed> {
  const chunks = new ChunkOffsets();
  const { sizes, digest, workers, signal, progress = silentProgress } = options;
  const scan: Seed["scan"] = async (copyTo) => {
    using task = progress.start({ label: "read seed", unit: "bytes" });
    task.detail(path);
    await using pipeline = await ChunkPipeline.open({
      sizes,
      digest,
      workers,
      signal,
      copyTo,
      onChunk: (size, id) => chunks.add(size, id),
    });
    await feedSource(pipeline, path, { signal, task });
    await pipeline.finish();
    task.done();
  };
  return new FileSeed(await openSeed(path), path, digest, chunks, scan);
}

/** As lazyBlobSeed(), scanned now. @throws AbortedError, too */
export async function blobSeed(path: string, options: BlobSeedOptions): Promise<Seed> {
  const seed = await lazyBlobSeed(path, options);
  try {
    await seed.scan?.();
    return seed;
  } catch (error) {
    await seed.close();
    throw error;
  }
}

/**
 * A seed from a file that an index is known to describe: it is not read before it is used.
 * @throws NotFoundError `source-missing`; EnvironmentError `source-not-readable`
 */
export async function indexSeed(index: ChunkIndex, path: string): Promise<Seed> {
  const chunks = new ChunkOffsets(index.count);
  for (let i = 0; i < index.count; i++) chunks.add(index.size(i), index.id(i));
  return new FileSeed(await openSeed(path), path, index.digest, chunks);
}

/** Where the chunks of a file are: 48 bytes each, for seeds of a million chunks. */
class ChunkOffsets {
  readonly #table: IdTable;
  #offsets: Float64Array;
  #end = 0;

  constructor(capacity = 1024) {
    this.#table = new IdTable(capacity);
    this.#offsets = new Float64Array(Math.max(capacity, 1));
  }

  /** Adds the file's next chunk. */
  add(size: number, id: Uint8Array): void {
    const known = this.#table.count;
    const position = this.#table.add(id);
    // A chunk that occurred before keeps its first place.
    if (position === known) {
      if (position >= this.#offsets.length) this.#grow();
      this.#offsets[position] = this.#end;
    }
    this.#end += size;
  }

  /** The offset of a chunk in the file, or undefined. */
  find(id: Uint8Array): number | undefined {
    const position = this.#table.find(id);
    return position < 0 ? undefined : this.#offsets[position];
  }

  #grow(): void {
    const offsets = new Float64Array(this.#offsets.length * 2);
    offsets.set(this.#offsets);
    this.#offsets = offsets;
  }
}

class FileSeed implements Seed {
  readonly location: string;
  readonly file: SeedFile;
  readonly #handle: FileHandle;
  readonly #digest: DigestAlgorithm;
  readonly #chunks: ChunkOffsets;
  #scan: Seed["scan"];

  constructor(
    handle: FileHandle,
    location: string,
    digest: DigestAlgorithm,
    chunks: ChunkOffsets,
    scan?: Seed["scan"],
  ) {
    this.#scan = scan;
    this.#handle = handle;
    this.location = location;
    this.#digest = digest;
    this.#chunks = chunks;
    this.file = { descriptor: handle.fd, offsetOf: (id) => chunks.find(id) };
  }

  async scan(copyTo?: CopyTarget): Promise<void> {
    const scan = this.#scan;
    this.#scan = undefined;
    await scan?.(copyTo);
  }

  place(id: Uint8Array): SeedPlace | undefined {
    const offset = this.#chunks.find(id);
    return offset === undefined ? undefined : { descriptor: this.#handle.fd, offset };
  }

  async read(id: Uint8Array, size: number): Promise<Uint8Array | undefined> {
    const offset = this.#chunks.find(id);
    if (offset === undefined) return undefined;
    const bytes = new Uint8Array(size);
    for (let done = 0; done < size;) {
      const { bytesRead } = await this.#handle.read(bytes, done, size - done, offset + done);
      if (bytesRead === 0) return undefined;
      done += bytesRead;
    }
    return compareBytes(hash(this.#digest, bytes, "buffer"), id) === 0 ? bytes : undefined;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

async function openSeed(path: string): Promise<FileHandle> {
  try {
    return await open(path, "r");
  } catch (error) {
    const options = { data: { file: path }, cause: error };
    if (systemErrorCode(error) === "ENOENT") {
      throw new NotFoundError(`there is no seed at ${path}`, { code: "source-missing", ...options });
    }
    throw new EnvironmentError(`cannot read the seed ${path}: ${errorMessage(error)}`, {
      code: "source-not-readable",
      ...options,
    });
  }
}
