/**
 * One node of an archive, found by its path through the GOODBYE tables: of an index only the chunks on
 * the way and those of the node are read.
 * @module
 */
import { basename } from "node:path";
import { compareBytes, ConfigError, NotFoundError } from "@imgtool/core";
import {
  CatarEncoder,
  CatarError,
  encodeGoodbye,
  encodeRecord,
  findInGoodbye,
  goodbyeTailSize,
  hashName,
  headerSize,
  kindOfMode,
  type NodeKind,
  readGoodbyeTail,
  recordTypes,
} from "@imgtool/catar";
import { displayPath } from "@imgtool/host";
import { ChunkSource, type ChunkSourceCounts } from "../chunk-source.ts";
import { type ArchiveReader, chunkReader, fileReader } from "./archive-reader.ts";
import type { TreeSource } from "./tree-source.ts";

/** A node and what is below it; disposing closes the archive. */
export interface Subtree extends AsyncDisposable {
  /** Names of the directories above it. */
  readonly parents: readonly Buffer[];
  readonly name: Buffer;
  readonly kind: NodeKind;
  /** The archive's feature flags. */
  readonly flags: bigint;
  /** Offset of its ENTRY in the archive. */
  readonly offset: number;
  /** Length of its part of the archive in bytes, from ENTRY on. */
  readonly size: number;
  /** Its part of the archive: of a directory, an archive of its own. */
  bytes(signal?: AbortSignal): AsyncIterable<Uint8Array>;
  /** An archive of a directory that has this node and nothing else. */
  wrapped(signal?: AbortSignal): AsyncIterable<Uint8Array>;
  /** Chunks that were read so far. */
  counts(): ChunkSourceCounts;
}

/**
 * Finds the node at a path.
 * @param path names joined by slashes; `.` and empty names are passed over, so that "." is the root
 * @throws NotFoundError `path-missing`; ConfigError `path-invalid` for `..`, `path-not-seekable` for a
 *   stream or a directory; CatarError; as ChunkSource.get()
 */
export async function openSubtree(
  source: TreeSource,
  path: Uint8Array | string,
  signal?: AbortSignal,
): Promise<Subtree> {
  const names = splitPath(path);
  const chunks = "index" in source ? new ChunkSource(source) : undefined;
  await using opened = new AsyncDisposableStack();
  const reader = opened.use(await openReader(source, chunks, signal));
  const { entryStart, end, flags, kind } = await findPath(reader, names);
  const owner = opened.move();
  const bytes = (reading?: AbortSignal): AsyncIterable<Uint8Array> => reader.stream(entryStart, end, reading);
  const name = names.at(-1) ?? Buffer.from(".");
  return {
    parents: names.slice(0, -1),
    name,
    kind,
    flags,
    offset: entryStart,
    size: end - entryStart,
    bytes,
    // The root is an archive already.
    wrapped: (reading) => (names.length === 0 ? bytes(reading) : wrap(flags, name, end - entryStart, bytes(reading))),
    counts: () => chunks?.counts ?? { fromSeeds: 0, fromStores: 0, bytesFetched: 0 },
    [Symbol.asyncDispose]: () => owner.disposeAsync(),
  };
}

async function openReader(
  source: TreeSource,
  chunks: ChunkSource | undefined,
  signal: AbortSignal | undefined,
): Promise<ArchiveReader> {
  if (chunks !== undefined) return chunkReader(chunks, "the archive", signal);
  if ("archive" in source && typeof source.archive === "string" && source.archive !== "-")
    return fileReader(source.archive);
  throw new ConfigError("a path is looked up in an archive file or an index", {
    code: "path-not-seekable",
    hint: "directory" in source ? "name the directory inside instead" : "store the stream in a file first",
  });
}

function splitPath(path: Uint8Array | string): readonly Buffer[] {
  // Latin-1 keeps the bytes.
  const text = Buffer.from(path as Uint8Array).toString("latin1");
  const names = text.split("/").filter((name) => name !== "" && name !== ".");
  if (names.includes("..") || text.includes("\0")) {
    throw new ConfigError(`${displayPath(path)} is no path inside an archive`, {
      code: "path-invalid",
      hint: "give it from the archive's root on, without ..",
      data: { path: displayPath(path) },
    });
  }
  return names.map((name) => Buffer.from(name, "latin1"));
}

type Readable = Pick<ArchiveReader, "read">;

/** Where a node is in its archive. */
export interface Place {
  readonly entryStart: number;
  readonly end: number;
  readonly flags: bigint;
  readonly kind: NodeKind;
}

async function findPath(reader: ArchiveReader, names: readonly Buffer[]): Promise<Place> {
  let place = await readEntry(reader, 0, reader.size);
  for (const [depth, name] of names.entries()) {
    const found = place.kind === "directory" ? await findChild(reader, place, name) : undefined;
    if (found === undefined) {
      const path = displayPath(
        Buffer.from(
          names
            .slice(0, depth + 1)
            .map((one) => one.toString("latin1"))
            .join("/"),
          "latin1",
        ),
      );
      throw new NotFoundError(`there is no ${path} in ${basename(reader.name)}`, {
        code: "path-missing",
        hint: "imgtool list shows what there is",
        data: { path },
      });
    }
    place = found;
  }
  return place;
}

async function findChild(reader: Readable, directory: Place, name: Buffer): Promise<Place | undefined> {
  const { end } = directory;
  const tail = readGoodbyeTail(await readInside(reader, end - goodbyeTailSize, goodbyeTailSize, directory), end);
  if (tail.entryStart !== directory.entryStart) throw wrongPlace(end, directory.entryStart, tail.entryStart);
  const table = await reader.read(tail.start, end - tail.start);
  const filename = encodeRecord("filename", Buffer.concat([name, Buffer.alloc(1)]));
  for (const child of findInGoodbye(table, tail.start, tail.entryStart, hashName(name))) {
    // Two names may have the same hash.
    if (child.end - child.start < filename.length) continue;
    const found = await readInside(reader, child.start, filename.length, directory);
    if (compareBytes(found, filename) === 0) return readEntry(reader, child.start + filename.length, child.end);
  }
  return undefined;
}

const entrySize = 64;

/** What the ENTRY at an offset says. @throws CatarError */
export async function readEntry(reader: Readable, entryStart: number, end: number): Promise<Place> {
  const bytes = await readInside(reader, entryStart, entrySize, { entryStart, end });
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [size, type] = [view.getBigUint64(0, true), view.getBigUint64(8, true)];
  const kind = kindOfMode(Number(view.getBigUint64(headerSize + 8, true) & 0xffff_ffffn));
  if (type !== recordTypes.entry || size !== BigInt(entrySize) || kind === undefined) {
    throw new CatarError("catar-record-order", "a record is out of order", {
      offset: entryStart,
      expected: "entry",
      found: `0x${type.toString(16)}`,
    });
  }
  return { entryStart, end, flags: view.getBigUint64(headerSize, true), kind };
}

async function readInside(
  reader: Readable,
  offset: number,
  length: number,
  limits: { readonly entryStart: number; readonly end: number },
): Promise<Uint8Array> {
  if (offset < limits.entryStart || offset + length > limits.end) {
    throw new CatarError("catar-truncated", "the archive ends early", {
      offset: limits.end,
      expected: `${length} bytes at ${offset}`,
      found: `${Math.max(limits.end - offset, 0)} bytes`,
    });
  }
  return reader.read(offset, length);
}

function wrongPlace(end: number, expected: number, found: number): CatarError {
  return new CatarError("catar-goodbye", "GOODBYE belongs to another directory", {
    offset: end - goodbyeTailSize,
    expected: `an ENTRY at ${expected}`,
    found: `at ${found}`,
  });
}

async function* wrap(
  flags: bigint,
  name: Buffer,
  size: number,
  node: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void> {
  const root = { metadata: { mode: 0o040_755, uid: 0, gid: 0, mtime: 0n }, content: { kind: "directory" as const } };
  const entry = new CatarEncoder(flags).entry(undefined, root);
  const filename = encodeRecord("filename", Buffer.concat([name, Buffer.alloc(1)]));
  yield entry;
  yield filename;
  yield* node;
  const end = entry.length + filename.length + size;
  yield encodeGoodbye([{ start: entry.length, end, hash: hashName(name) }], 0, end);
}
