/**
 * Publishes a directory tree: as chunks and an index, or as one archive file.
 * @module
 */
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { type Progress, silentProgress, throwIfAborted } from "@imgtool/core";
import { defaultArchiveFlags } from "@imgtool/catar";
import { type ChunkSizes, chunkSizes, digestOfFlags } from "@imgtool/chunker";
import { makeAtomically } from "@imgtool/host";
import type { Compression, WriteStore } from "@imgtool/store";
import type { ChunkedStream } from "../chunk-pipeline.ts";
import { chunkStream } from "../make-stream.ts";
import type { ByteSource } from "../byte-source.ts";
import type { IdShift } from "./id-shift.ts";
import { archiveBytes, archiveDecoder } from "./tree-source.ts";

export interface MakeTreeOptions {
  /** Path of the directory, or an archive: the path of a `.catar`, "-" for standard input, or its bytes. */
  readonly source: string | { readonly archive: ByteSource };
  /** Path of the `.caidx` to write. */
  readonly index: string;
  /** The path of a local store, made when it is not there, or an open store. */
  readonly store: string | WriteStore;
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
  /** Worker threads. Default: one per processor. */
  readonly workers?: number;
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
}

export interface MadeTree extends ChunkedStream {
  readonly indexPath: string;
}

/**
 * Archives a directory, or takes an archive, stores the chunks that the store lacks and writes the index, as
 * `casync make x.caidx` does; equal trees give equal bytes.
 * @throws as walkTree(); EnvironmentError; AbortedError. The index is then as it was before.
 * @example await makeTree({ source: "rootfs", index: "rootfs.caidx", store: "default.castr" })
 */
export async function makeTree(options: MakeTreeOptions): Promise<MadeTree> {
  const { progress = silentProgress } = options;
  const { flags, bytes } = await openSource(options);
  using task = progress.start({ label: "store chunks", unit: "bytes" });
  const streamOptions = { ...options, flags, sizes: chunkSizes(options.chunkSizes) };
  const result = await chunkStream(streamOptions, async (pipeline) => {
    for await (const piece of bytes) {
      await pipeline.write(piece);
      task.advance(piece.length);
    }
  });
  task.done(`${result.newChunks} of ${result.chunks} chunks are new`);
  return { ...result, indexPath: options.index };
}

interface OpenedSource {
  readonly flags: bigint;
  readonly bytes: AsyncIterable<Uint8Array>;
}

async function openSource(options: MakeTreeOptions): Promise<OpenedSource> {
  const { source, flags = defaultArchiveFlags, idShift, signal } = options;
  if (typeof source === "string") return { flags, bytes: archiveBytes({ directory: source, flags, idShift }, signal) };
  // The index has the archive's flags in its head, so they are read before anything is written.
  const bytes = checkedArchive(source.archive, signal);
  const first = await bytes.next();
  if (first.done === true) throw new RangeError("an archive without bytes");
  return { flags: first.value.flags, bytes: rest(first.value.bytes, bytes) };
}

/** The bytes of an archive in order, from where its flags are known; its form is checked. */
async function* checkedArchive(
  archive: ByteSource,
  signal: AbortSignal | undefined,
): AsyncGenerator<{ readonly flags: bigint; readonly bytes: Uint8Array }, void> {
  const decoder = archiveDecoder({ archive });
  const waiting: Uint8Array[] = [];
  for await (const bytes of archiveBytes({ archive }, signal)) {
    throwIfAborted(signal);
    for (const event of decoder.push(bytes)) void event;
    waiting.push(bytes);
    const { flags } = decoder;
    if (flags === undefined) continue;
    for (const one of waiting.splice(0)) yield { flags, bytes: one };
  }
  decoder.finish();
}

async function* rest(
  first: Uint8Array,
  others: AsyncIterable<{ readonly bytes: Uint8Array }>,
): AsyncGenerator<Uint8Array, void> {
  yield first;
  for await (const { bytes } of others) yield bytes;
}

export interface MakeArchiveOptions {
  /** Path of the directory. */
  readonly source: string;
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
 * Archives a directory into one file, as `casync make x.catar` does.
 * @throws as walkTree(); AbortedError. The output is then as it was before.
 */
export async function makeArchive(options: MakeArchiveOptions): Promise<MadeArchive> {
  const { source, output, flags = defaultArchiveFlags, idShift, progress = silentProgress, signal } = options;
  using task = progress.start({ label: "write archive", unit: "bytes" });
  const made = await makeAtomically(output, async (temporary) => {
    await using handle = await open(temporary, "wx", 0o666);
    const hash = options.contentDigest === true ? createHash(digestOfFlags(flags)) : undefined;
    let size = 0;
    for await (const bytes of archiveBytes({ directory: source, flags, idShift }, signal)) {
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
