/**
 * Where a blob's bytes come from: a file, a device, standard input or any stream.
 * @module
 */
import { type FileHandle, open } from "node:fs/promises";
import {
  ConfigError,
  EnvironmentError,
  errorMessage,
  NotFoundError,
  systemErrorCode,
  type Task,
  throwIfAborted,
} from "@imgtool/core";
import { seekData } from "@imgtool/host";
import type { StreamSink } from "./stream-sink.ts";
import { sourceLength } from "./source-length.ts";

/** A path, "-" for standard input, or the bytes themselves. */
export type ByteSource = string | AsyncIterable<Uint8Array>;

export interface FeedOptions {
  readonly signal?: AbortSignal | undefined;
  readonly task: Task;
}

/**
 * Writes all bytes of a source into a sink.
 * @throws NotFoundError `source-missing`; EnvironmentError `source-not-readable`; what the sink throws
 */
export async function feedSource(sink: StreamSink, source: ByteSource, options: FeedOptions): Promise<void> {
  if (typeof source === "string" && source !== "-") return feedFile(sink, source, options);
  const stream: AsyncIterable<Uint8Array> = typeof source === "string" ? process.stdin : source;
  for await (const bytes of stream) {
    throwIfAborted(options.signal);
    await sink.write(bytes);
    options.task.advance(bytes.length);
  }
}

async function feedFile(sink: StreamSink, path: string, options: FeedOptions): Promise<void> {
  try {
    await using handle = await open(path, "r");
    const { length, note, holes = 0 } = await sourceLength(handle);
    if (note !== undefined) options.task.detail(`${path}: ${note}`);
    if (length !== Infinity) options.task.setTotal(length);
    if (holes >= worthSeeking) return await feedSparseFile(sink, handle, length, options);
    // A file that grows is read on; a device may have more than its file system.
    await feedRange(sink, handle, undefined, note === undefined ? Infinity : length, options);
  } catch (error) {
    throw sourceError(error, path);
  }
}

/** Holes of a file that are looked for when they are at least so large together, in bytes. */
const worthSeeking: number = 16 * 1024 ** 2;

/** A file that has less data than length: what the file system says is a hole is not read. */
async function feedSparseFile(
  sink: StreamSink,
  handle: FileHandle,
  length: number,
  options: FeedOptions,
): Promise<void> {
  for (let at = 0; at < length;) {
    throwIfAborted(options.signal);
    const data = Math.min(seekData(handle.fd, at, "data") ?? length, length);
    if (data > at) {
      await sink.writeZeros(data - at);
      options.task.advance(data - at);
    }
    at = data;
    if (data === length) break;
    const hole = Math.min(seekData(handle.fd, data, "hole") ?? length, length);
    await feedRange(sink, handle, data, hole - data, options);
    at = hole;
  }
  // A file that grows is read on.
  await feedRange(sink, handle, length, Infinity, options);
}

/** Writes `length` bytes from a position, or from where the file stands, or what there is of them. */
async function feedRange(
  sink: StreamSink,
  handle: FileHandle,
  position: number | undefined,
  length: number,
  options: FeedOptions,
): Promise<void> {
  let done = 0;
  const read = async (view: Uint8Array): Promise<number> => {
    const at = position === undefined ? null : position + done;
    const { bytesRead } = await handle.read(view, 0, Math.min(view.length, length - done), at);
    done += bytesRead;
    return bytesRead;
  };
  let reading = read(await sink.space());
  for (let count = await reading; count > 0; count = await reading) {
    throwIfAborted(options.signal);
    sink.advance(count);
    options.task.advance(count);
    // The next bytes are read while these are cut.
    const view = sink.trySpace();
    if (view !== undefined) reading = read(view);
    try {
      await sink.cut();
    } finally {
      if (view !== undefined) await reading;
    }
    if (view === undefined) reading = read(await sink.space());
  }
}

/** Turns what the file system says about a source into an error that names it; others pass. */
function sourceError(error: unknown, path: string): unknown {
  const code = systemErrorCode(error);
  if (code === undefined || !/^E[A-Z0-9]+$/.test(code)) return error;
  const options = { data: { file: path, reason: code }, cause: error };
  if (code === "ENOENT")
    return new NotFoundError(`there is no file at ${path}`, { code: "source-missing", ...options });
  if (code === "EISDIR")
    return new ConfigError(`${path} is a directory, and the index of a file is asked for`, {
      code: "source-is-directory",
      hint: "for a directory, end the index's name with .caidx",
      ...options,
    });
  return new EnvironmentError(`cannot read ${path}: ${errorMessage(error)}`, {
    code: "source-not-readable",
    ...options,
  });
}
