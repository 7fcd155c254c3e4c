/**
 * Publishes a blob: a disk image, an archive, any file or stream.
 * @module
 */
import { type Progress, silentProgress } from "@imgtool/core";
import { blobFlags, type ChunkSizes, chunkSizes, type DigestAlgorithm } from "@imgtool/chunker";
import type { Compression, LocalStorePlace, StoreKey, WriteStore } from "@imgtool/store";
import { type ByteSource, feedSource } from "./byte-source.ts";
import type { ChunkedStream } from "./chunk-pipeline.ts";
import { chunkStream } from "./make-stream.ts";

export interface MakeBlobOptions {
  /** A path, "-" for standard input, or the bytes themselves. */
  readonly source: ByteSource;
  /** Path of the `.caibx` to write. */
  readonly index: string;
  /** The path of a local store, made when it is not there, or an open store. */
  readonly store: string | LocalStorePlace | WriteStore;
  /** With which the index is encrypted; the store is handed in with its own. */
  readonly key?: StoreKey | undefined;
  /** Default: casync's, 64 KiB on average. */
  readonly chunkSizes?: Partial<ChunkSizes>;
  /** Default "sha512-256". */
  readonly digest?: DigestAlgorithm;
  /** Default "zstd". */
  readonly compression?: Compression;
  /** Default: the codec's own. */
  readonly level?: number;
  /** Whether chunks are flushed to the disk before the index names them. Default true. */
  readonly durable?: boolean;
  /**
   * Whether to digest the blob as a whole, too, as `casync make` does. It is as much work as all chunk
   * ids, which cover every byte already. Default false.
   */
  readonly contentDigest?: boolean;
  /** Worker threads besides this one. Default: one per processor but one. */
  readonly workers?: number;
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
}

export interface MadeBlob extends ChunkedStream {
  readonly indexPath: string;
}

/**
 * Cuts a blob, stores the chunks that the store lacks and writes the index, as `casync make` does.
 * @throws NotFoundError `source-missing`; EnvironmentError; ConfigError; AbortedError
 * @example await makeBlob({ source: "disk.raw", index: "disk.caibx", store: "default.castr" })
 */
export async function makeBlob(options: MakeBlobOptions): Promise<MadeBlob> {
  const { source, progress = silentProgress, signal } = options;
  using task = progress.start({ label: "store chunks", unit: "bytes" });
  const streamOptions = { ...options, flags: blobFlags(options.digest), sizes: chunkSizes(options.chunkSizes) };
  const result = await chunkStream(streamOptions, (pipeline) => feedSource(pipeline, source, { signal, task }));
  task.done(`${result.newChunks} of ${result.chunks} chunks are new`);
  return { ...result, indexPath: options.index };
}
