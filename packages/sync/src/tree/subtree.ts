/**
 * One node of an archive, found by its path through the GOODBYE tables: of an index only the chunks on
 * the way and those of the node are read.
 * @module
 */
import { basename } from "node:path";
import { ConfigError, NotFoundError } from "@imgtool/core";
import { encodeGoodbye, hashName, type NodeKind } from "@imgtool/catar";
import { displayPath } from "@imgtool/host";
import { ChunkSource, type ChunkSourceCounts } from "../chunk-source.ts";
import { RangedSource } from "../ranged-source.ts";
import { type ArchiveReader, chunkReader, fileReader, type PieceReader, rangedReader } from "./archive-reader.ts";
import { encodeEnclosure, encodeName, findInTable, type Place, readEntry, readTable } from "./directory-table.ts";
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
  /** The archive that it is a part of. */
  readonly archive: ArchiveReader;
  /** Its part of the archive: of a directory, an archive of its own. */
  bytes(signal?: AbortSignal): AsyncIterable<Uint8Array>;
  /** An archive of a directory that has this node and nothing else. */
  wrapped(signal?: AbortSignal): AsyncIterable<Uint8Array>;
  /** The same in pieces, from any place on. */
  pieces(): PieceReader;
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
    archive: reader,
    bytes,
    // The root is an archive already.
    wrapped: (reading) => (names.length === 0 ? bytes(reading) : wrap(flags, name, end - entryStart, bytes(reading))),
    pieces: () =>
      names.length === 0
        ? { size: reader.size, piece: (at) => reader.piece(at) }
        : wrappedPieces(reader, { entryStart, end, flags }, name),
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
  if ("archive" in source && source.archive instanceof RangedSource) return rangedReader(source.archive);
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

async function findPath(reader: ArchiveReader, names: readonly Buffer[]): Promise<Place> {
  let place = await readEntry(reader, 0, reader.size);
  for (const [depth, name] of names.entries()) {
    const found =
      place.kind === "directory" ? await findInTable(reader, await readTable(reader, place), name) : undefined;
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

async function* wrap(
  flags: bigint,
  name: Buffer,
  size: number,
  node: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void> {
  const { head, tail } = enclosure(flags, name, size);
  yield head;
  yield* node;
  yield tail;
}

/** As wrap(), read from any place. */
function wrappedPieces(
  reader: ArchiveReader,
  { entryStart, end, flags }: Omit<Place, "kind">,
  name: Buffer,
): PieceReader {
  const size = end - entryStart;
  const { head, tail } = enclosure(flags, name, size);
  return {
    size: head.length + size + tail.length,
    async piece(offset) {
      if (offset < head.length) return head.subarray(offset);
      const at = offset - head.length;
      return at < size ? (await reader.piece(entryStart + at)).subarray(0, size - at) : tail.subarray(at - size);
    },
  };
}

/** What stands before and behind a node's part of the archive in one that has nothing else. */
function enclosure(
  flags: bigint,
  name: Buffer,
  size: number,
): { readonly head: Uint8Array; readonly tail: Uint8Array } {
  const head = encodeEnclosure(flags, name);
  const end = head.length + size;
  const start = head.length - encodeName(name).length;
  return { head, tail: encodeGoodbye([{ start, end, hash: hashName(name) }], 0, end) };
}
