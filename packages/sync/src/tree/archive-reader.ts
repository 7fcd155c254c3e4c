/**
 * Archives that can be read from any place: a file, or an index, of which only the chunks that are
 * asked for are fetched.
 * @module
 */
import { type FileHandle, open } from "node:fs/promises";
import { FormatError, NotFoundError, systemErrorCode } from "@imgtool/core";
import type { ChunkSource } from "../chunk-source.ts";
import type { RangedSource } from "../ranged-source.ts";
import { readStream } from "../read-stream.ts";

export interface ArchiveReader extends AsyncDisposable {
  /** What it is called in errors. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Whether it has a size and can be read from any place: a pipe cannot. */
  readonly isSeekable: boolean;
  /** Bytes from an offset below the size on, at least one: as many as cost little more than one. */
  piece(offset: number): Promise<Uint8Array>;
  /** Exactly `length` bytes. @throws FormatError `archive-changed` when the file has become shorter */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** The bytes of a range in order. */
  stream(from: number, to: number, signal?: AbortSignal): AsyncIterable<Uint8Array>;
}

/** An archive's bytes in pieces, from any place on. */
export type PieceReader = Pick<ArchiveReader, "size" | "piece">;

/** Reads the archive that an index describes. */
export function chunkReader(chunks: ChunkSource, name: string, signal?: AbortSignal): ArchiveReader {
  const { index } = chunks;
  // A directory's table, the names in it and its ENTRY are often in the same few chunks.
  const recent = new Map<number, Promise<Uint8Array>>();
  const chunk = (i: number): Promise<Uint8Array> => {
    const known = recent.get(i);
    if (known !== undefined) return known;
    const [oldest] = recent.keys();
    if (recent.size >= 8 && oldest !== undefined) recent.delete(oldest);
    const now = chunks.getNow(i);
    const bytes = now === undefined ? chunks.get(i, signal) : Promise.resolve(now);
    recent.set(i, bytes);
    return bytes;
  };
  return {
    name,
    size: index.totalSize,
    isSeekable: true,
    async piece(offset) {
      const i = index.find(offset);
      return (await chunk(i)).subarray(offset - index.start(i));
    },
    async read(offset, length) {
      const bytes = new Uint8Array(length);
      for (let done = 0; done < length;) {
        const i = index.find(offset + done);
        const from = offset + done - index.start(i);
        const part = (await chunk(i)).subarray(from, from + length - done);
        bytes.set(part, done);
        done += part.length;
      }
      return bytes;
    },
    async *stream(from, to, streamSignal) {
      if (from >= to) return;
      const first = index.find(from);
      const last = index.find(to - 1);
      let at = index.start(first);
      for await (const bytes of readStream(chunks, { from: first, to: last + 1, signal: streamSignal ?? signal })) {
        yield bytes.subarray(Math.max(from - at, 0), Math.min(to - at, bytes.length));
        at += bytes.length;
      }
    },
    async [Symbol.asyncDispose]() {},
  };
}

/** Reads an archive elsewhere, which its opener closes. */
export function rangedReader(source: RangedSource): ArchiveReader {
  return {
    name: source.name,
    size: source.size,
    isSeekable: true,
    piece: (offset) => source.piece(offset),
    read: (offset, length) => source.read(offset, length),
    stream: (from, to) => source.stream(from, to),
    async [Symbol.asyncDispose]() {},
  };
}

const pieceSize = 256 * 1024;
/** Read for a look at records between contents: what a disk reads ahead anyway. */
const lookSize = 32 * 1024;

/** Reads an archive file. @throws NotFoundError `source-missing` */
export async function fileReader(path: string): Promise<ArchiveReader> {
  let handle: FileHandle;
  try {
    handle = await open(path, "r");
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT") throw error;
    const data = { file: path };
    throw new NotFoundError(`there is no file at ${path}`, { code: "source-missing", data, cause: error });
  }
  const stats = await handle.stat();
  const { size } = stats;
  const read = async (offset: number, length: number): Promise<Uint8Array> => {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const { bytesRead } = await handle.read(bytes, done, length - done, offset + done);
      if (bytesRead === 0) {
        throw new FormatError(
          `${path} ended while it was read: expected ${offset + length} bytes, found ${offset + done}`,
          {
            code: "archive-changed",
            data: { file: path, expected: offset + length, found: offset + done },
          },
        );
      }
      done += bytesRead;
    }
    return bytes;
  };
  return {
    name: path,
    size,
    isSeekable: stats.isFile(),
    piece: (offset) => read(offset, Math.min(lookSize, size - offset)),
    read,
    async *stream(from, to) {
      for (let at = from; at < to; at += pieceSize) yield await read(at, Math.min(pieceSize, to - at));
    },
    [Symbol.asyncDispose]: () => handle.close(),
  };
}
