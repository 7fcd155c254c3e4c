/**
 * What a tree's archive is made from: a directory, an archive that is there already, or a tar archive,
 * plain or compressed. Which of the two an archive is, its first bytes tell.
 * @module
 */
import { throwIfAborted } from "@imgtool/core";
import { defaultArchiveFlags, recordTypes } from "@imgtool/catar";
import type { ByteSource } from "../byte-source.ts";
import { batched } from "./batch.ts";
import type { IdShift } from "./id-shift.ts";
import { openTarFile, refuseForeign, spoolTar } from "./tar-input.ts";
import { walkTar } from "./tar-walk.ts";
import { archiveBytes, archiveDecoder, sourceBytes } from "./tree-source.ts";
import type { WalkTreeOptions } from "./walk.ts";

export interface ArchiveSourceOptions {
  /**
   * Path of a directory, or an archive: the path of a `.catar` or a tar (plain, or compressed with zstd,
   * xz or gzip), "-" for standard input, or its bytes.
   */
  readonly source: string | { readonly archive: ByteSource };
  /** Normalized feature flags. Default: casync's; a `.catar` brings its own. */
  readonly flags?: bigint | undefined;
  /** The host's range of ids that the owners are in. Default: they are recorded as they are. */
  readonly idShift?: IdShift | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface OpenedSource {
  readonly flags: bigint;
  /** The archive's bytes; what is open is closed at their end. */
  readonly bytes: AsyncIterable<Uint8Array>;
}

export async function openArchiveSource(options: ArchiveSourceOptions): Promise<OpenedSource> {
  const { source, flags = defaultArchiveFlags, idShift, signal } = options;
  if (typeof source === "string") return { flags, bytes: archiveBytes({ directory: source, flags, idShift }, signal) };
  const stream = await peek(sourceBytes(source.archive), signal);
  if (!isCatar(stream.head)) {
    const name = typeof source.archive === "string" && source.archive !== "-" ? source.archive : "the stream";
    try {
      refuseForeign(stream.head, name);
    } catch (error) {
      await stream.close();
      throw error;
    }
    return { flags, bytes: tarBytes(source.archive, stream, { flags, idShift, signal }) };
  }
  // The index has the archive's flags in its head, so they are read before anything is written.
  const bytes = checkedArchive(stream.bytes, signal);
  const first = await bytes.next();
  if (first.done === true) throw new RangeError("an archive without bytes");
  return { flags: first.value.flags, bytes: rest(first.value.bytes, bytes) };
}

interface Peeked {
  readonly head: Buffer;
  /** The whole stream, the head included. */
  readonly bytes: AsyncGenerator<Uint8Array, void>;
  /** Closes a stream that is not read on. */
  close(): Promise<unknown>;
}

const headLength = 16;

async function peek(source: AsyncIterable<Uint8Array>, signal: AbortSignal | undefined): Promise<Peeked> {
  const iterator = source[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  while (head.length < headLength) {
    throwIfAborted(signal);
    const { value, done } = await iterator.next();
    if (done === true) break;
    head = Buffer.concat([head, value]);
  }
  async function* whole(): AsyncGenerator<Uint8Array, void> {
    try {
      if (head.length > 0) yield head;
      for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value;
    } finally {
      await iterator.return?.();
    }
  }
  return { head, bytes: whole(), close: async () => iterator.return?.() };
}

/** An archive begins with an ENTRY; what is shorter is one that is cut off. */
function isCatar(head: Buffer): boolean {
  return head.length < headLength || head.readBigUInt64LE(8) === recordTypes.entry;
}

async function* tarBytes(archive: ByteSource, stream: Peeked, options: WalkTreeOptions): AsyncGenerator<Uint8Array> {
  const isFile = typeof archive === "string" && archive !== "-";
  // A file is opened anew, at its beginning.
  if (isFile) await stream.close();
  await using tar = isFile ? await openTarFile(archive, options.signal) : await spoolTar(stream.bytes, options.signal);
  yield* batched(walkTar(tar, options));
}

/** The bytes of an archive in order, from where its flags are known; its form is checked. */
async function* checkedArchive(
  archive: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<{ readonly flags: bigint; readonly bytes: Uint8Array }, void> {
  const decoder = archiveDecoder({ archive });
  const waiting: Uint8Array[] = [];
  for await (const bytes of archive) {
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
