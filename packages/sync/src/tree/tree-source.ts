/**
 * Where an archive's bytes come from: a directory that is walked, an archive file or stream, or an
 * index and its chunks.
 * @module
 */
import { open } from "node:fs/promises";
import { NotFoundError, systemErrorCode } from "@imgtool/core";
import { CatarDecoder, type CatarEvent } from "@imgtool/catar";
import type { ChunkIndex } from "@imgtool/chunker";
import type { ReadStore } from "@imgtool/store";
import type { ByteSource } from "../byte-source.ts";
import { ChunkSource } from "../chunk-source.ts";
import { readStream } from "../read-stream.ts";
import type { Seed } from "../seed.ts";
import { sourceLength } from "../source-length.ts";
import { batched } from "./batch.ts";
import type { Subtree } from "./subtree.ts";
import { walkTree, type WalkTreeOptions } from "./walk.ts";

export type TreeSource =
  /** A directory; `flags` default to casync's. */
  | ({ readonly directory: string } & Pick<WalkTreeOptions, "flags" | "idShift">)
  /** A `.catar` file, "-" for standard input, or its bytes. */
  | { readonly archive: ByteSource }
  /** The index of a `.caidx` file, and where its chunks are. */
  | { readonly index: ChunkIndex; readonly stores: readonly ReadStore[]; readonly seeds?: readonly Seed[] }
  /** One node of an archive, as openSubtree() finds it. */
  | { readonly subtree: Subtree };

/** The archive's bytes in order; those of one node in a directory that has nothing else. */
export function archiveBytes(source: TreeSource, signal?: AbortSignal): AsyncIterable<Uint8Array> {
  if ("directory" in source) {
    return batched(walkTree(source.directory, { ...source, signal }));
  }
  if ("archive" in source) return sourceBytes(source.archive);
  if ("subtree" in source) return source.subtree.wrapped(signal);
  return readStream(new ChunkSource(source), { signal });
}

/**
 * The archive's events; everything about its form is checked.
 * @param onFlags told the archive's feature flags before the first event
 */
export async function* archiveEvents(
  source: TreeSource,
  signal?: AbortSignal,
  onFlags?: (flags: bigint) => void,
): AsyncGenerator<CatarEvent, void> {
  const decoder = archiveDecoder(source);
  let isTold = false;
  for await (const bytes of archiveBytes(source, signal)) {
    for (const event of decoder.push(bytes)) {
      if (!isTold) onFlags?.(decoder.flags ?? 0n);
      isTold = true;
      yield event;
    }
  }
  decoder.finish();
}

/** A decoder that insists on the feature flags of the index, where there is one. */
export function archiveDecoder(source: TreeSource): CatarDecoder {
  if ("index" in source) return new CatarDecoder({ flags: source.index.flags });
  return new CatarDecoder("subtree" in source ? { flags: source.subtree.flags } : {});
}

const readSize = 1024 ** 2;

/** The bytes of a file or stream in order. @throws NotFoundError `source-missing` */
export async function* sourceBytes(source: ByteSource): AsyncGenerator<Uint8Array, void> {
  if (typeof source !== "string") {
    yield* source;
  } else if (source === "-") {
    yield* process.stdin;
  } else {
    await using handle = await openFile(source);
    const { length, note } = await sourceLength(handle);
    for (let left = note === undefined ? Infinity : length; left > 0;) {
      const buffer = Buffer.allocUnsafe(readSize);
      const { bytesRead } = await handle.read(buffer, 0, Math.min(readSize, left));
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
      left -= bytesRead;
    }
  }
}

async function openFile(path: string): Promise<Awaited<ReturnType<typeof open>>> {
  try {
    return await open(path, "r");
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT") throw error;
    throw new NotFoundError(`there is no file at ${path}`, {
      code: "source-missing",
      data: { file: path },
      cause: error,
    });
  }
}
