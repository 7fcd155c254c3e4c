/**
 * Publishes a directory tree: as chunks and an index, or as one archive file.
 * @module
 */
import { createHash } from "node:crypto";
import { open, realpath } from "node:fs/promises";
import { ConfigError, type Progress, silentProgress, type Task } from "@imgtool/core";
import { defaultArchiveFlags } from "@imgtool/catar";
import { type ChunkSizes, chunkSizes, digestOfFlags } from "@imgtool/chunker";
import { makeAtomically } from "@imgtool/host";
import type { Compression, LocalStorePlace, StoreKey, WriteStore } from "@imgtool/store";
import type { ChunkedStream, ChunkPipeline } from "../chunk-pipeline.ts";
import { chunkStream } from "../make-stream.ts";
import { type ArchiveSourceOptions, openArchiveSource } from "./archive-source.ts";
import { CachedFeed } from "./cached-feed.ts";
import { feedTree } from "./feed-tree.ts";
import type { IdShift } from "./id-shift.ts";
import { MakeCache } from "./make-cache.ts";

export interface MakeTreeOptions {
  /** As in ArchiveSourceOptions. */
  readonly source: ArchiveSourceOptions["source"];
  /** Path of the `.caidx` to write. */
  readonly index: string;
  /** The path of a local store, made when it is not there, or an open store. */
  readonly store: string | LocalStorePlace | WriteStore;
  /** With which the index is encrypted; the store is handed in with its own. */
  readonly key?: StoreKey | undefined;
  /**
   * Normalized feature flags, which name the digest too (parseWith() of @imgtool/catar). Default: casync's;
   * an archive brings its own.
   */
  readonly flags?: bigint;
  /** The host's range of ids that the directory's owners are in. Default: they are recorded as they are. */
  readonly idShift?: IdShift | undefined;
  /** Default: casync's, 64 KiB on average. */
  readonly chunkSizes?: Partial<ChunkSizes>;
  /** Default "zstd". */
  readonly compression?: Compression;
  /** Default: the codec's own. */
  readonly level?: number;
  /** Whether chunks are flushed to the disk before the index names them. Default true. */
  readonly durable?: boolean;
  /**
   * Whether to digest the archive as a whole, too, as `casync make` does. It is as much work as all
   * chunk ids, which cover every byte already. Default false.
   */
  readonly contentDigest?: boolean;
  /** Worker threads besides this one. Default: one per processor but one. */
  readonly workers?: number;
  /**
   * Directory that keeps what is known of directories that were archived: files that have not changed since
   * are not read again. Not with contentDigest, which needs every byte; without use for archives.
   */
  readonly cache?: string | undefined;
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
}

export interface MadeTree extends ChunkedStream {
  readonly indexPath: string;
}

/**
 * Archives a directory, or takes an archive, stores the chunks that the store lacks and writes the index, as
 * `casync make x.caidx` does; equal trees give equal bytes.
 * @throws as walkTree(), walkTar(); EnvironmentError; AbortedError. The index is then as it was before.
 * @example await makeTree({ source: "rootfs", index: "rootfs.caidx", store: "default.castr" })
 */
export async function makeTree(options: MakeTreeOptions): Promise<MadeTree> {
  const { progress = silentProgress } = options;
  if (options.cache !== undefined && typeof options.source === "string")
    return makeCached(options, options.cache, options.source);
  const { flags, feed } = await openSource(options);
  using task = progress.start({ label: "store chunks", unit: "bytes" });
  const streamOptions = { ...options, flags, sizes: chunkSizes(options.chunkSizes) };
  const result = await chunkStream(streamOptions, (pipeline) => feed(pipeline, task));
  task.done(`${result.newChunks} of ${result.chunks} chunks are new`);
  return { ...result, indexPath: options.index };
}

/** makeTree() of a directory with what is known of it from before. */
async function makeCached(options: MakeTreeOptions, folder: string, directory: string): Promise<MadeTree> {
  const { progress = silentProgress, flags = defaultArchiveFlags, idShift, signal } = options;
  if (options.contentDigest === true) {
    throw new ConfigError("the digest of an archive needs all of it, and a cache is there to read less", {
      code: "cache-with-digest",
      hint: "leave out one of both; imgtool digest prints the digest, too",
    });
  }
  const sizes = chunkSizes(options.chunkSizes);
  const { min, avg, max } = sizes;
  const shift = idShift === undefined ? "" : JSON.stringify(idShift);
  const key = [await realpath(directory), flags, min, avg, max, shift].join("\n");
  const cache = MakeCache.open(folder, key, progress);
  using task = progress.start({ label: "store chunks", unit: "bytes" });
  using feeds = new DisposableStack();
  let feed: CachedFeed | undefined;
  const result = await chunkStream(
    {
      ...options,
      flags,
      sizes,
      onCut: (size) => feed?.onCut(size),
      onChunk: (_, id) => feed?.onChunk(id),
    },
    async (pipeline) => {
      feed = feeds.use(new CachedFeed(pipeline, cache, { flags, idShift, signal, task }));
      await feed.feed(directory);
    },
  );
  await cache.save();
  task.done(`${result.newChunks} of ${result.chunks} chunks are new`);
  return { ...result, indexPath: options.index };
}

interface FedSource {
  readonly flags: bigint;
  readonly feed: (pipeline: ChunkPipeline, task: Task) => Promise<void>;
}

/** A directory goes straight into the cutter's memory; all else comes as a stream. */
async function openSource(options: MakeTreeOptions): Promise<FedSource> {
  const { source, flags = defaultArchiveFlags, idShift, signal } = options;
  if (typeof source === "string")
    return { flags, feed: (pipeline, task) => feedTree(pipeline, source, { flags, idShift, signal, task }) };
  const opened = await openArchiveSource(options);
  const feed = async (pipeline: ChunkPipeline, task: Task): Promise<void> => {
    for await (const piece of opened.bytes) {
      await pipeline.write(piece);
      task.advance(piece.length);
    }
  };
  return { flags: opened.flags, feed };
}

export interface MakeArchiveOptions {
  /** As in ArchiveSourceOptions. */
  readonly source: ArchiveSourceOptions["source"];
  /** Path of the `.catar` to write. */
  readonly output: string;
  /** Normalized feature flags. Default: casync's. */
  readonly flags?: bigint;
  /** As in MakeTreeOptions. */
  readonly idShift?: IdShift | undefined;
  /** Whether to digest the archive, as `casync make` does. Default false. */
  readonly contentDigest?: boolean;
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
}

export interface MadeArchive {
  /** Bytes. */
  readonly size: number;
  /** Digest of the archive, hexadecimal, when it was asked for. */
  readonly digest: string | undefined;
}

/**
 * Archives a directory, or the tree of a tar archive, into one file, as `casync make x.catar` does.
 * @throws as walkTree(), walkTar(); AbortedError. The output is then as it was before.
 */
export async function makeArchive(options: MakeArchiveOptions): Promise<MadeArchive> {
  const { output, progress = silentProgress } = options;
  using task = progress.start({ label: "write archive", unit: "bytes" });
  const made = await makeAtomically(output, async (temporary) => {
    const { flags, bytes: archive } = await openArchiveSource(options);
    await using handle = await open(temporary, "wx", 0o666);
    const hash = options.contentDigest === true ? createHash(digestOfFlags(flags)) : undefined;
    let size = 0;
    for await (const bytes of archive) {
      hash?.update(bytes);
      await handle.writeFile(bytes);
      size += bytes.length;
      task.advance(bytes.length);
    }
    return { size, digest: hash?.digest("hex") };
  });
  task.done();
  return made;
}
