/**
 * An archive that is looked into node by node, at any place: what a file system of it needs. Directories
 * are read through their GOODBYE tables; of a node only its records are read.
 * @module
 */
import { compareBytes } from "@imgtool/core";
import {
  CatarDecoder,
  CatarError,
  CatarEncoder,
  type CatarNode,
  encodeRecord,
  type GoodbyeChild,
  goodbyeTailSize,
  hashName,
  headerSize,
  listGoodbye,
  type NodeKind,
  readGoodbyeTail,
  recordTypes,
} from "@imgtool/catar";
import { ownerIds } from "./owners.ts";
import { wantedXattrs } from "./restore.ts";
import { type Place, readEntry } from "./subtree.ts";

/** Bytes that can be read from any place: an archive file, or an image of one. */
export interface RandomAccess {
  /** What it is called in errors. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Exactly `length` bytes. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

export interface BrowsedNode {
  /** Offset of its ENTRY in the archive: what tells it from all others. */
  readonly id: number;
  readonly kind: NodeKind;
  readonly node: CatarNode;
  /** The host's ids of its owners: those of their names where they are known here. */
  readonly uid: number;
  readonly gid: number;
  /** Extended attributes with lists of access control and capabilities among them; names as Latin-1 text. */
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
  /** Of a file, where its content begins in the archive. */
  readonly contentOffset: number;
  /** Where it is, for list() and find(). */
  readonly place: Place;
}

/** A name in a directory. */
export interface BrowsedName {
  readonly name: Buffer;
  readonly id: number;
  readonly kind: NodeKind;
}

/** Records of a node are read in pieces of this size; few have more. */
const lookSize = 1024;
/** The longest FILENAME record. */
const longestName = headerSize + 256;
/** Directories whose tables are kept: who looks up one name looks up its neighbours. */
const keptTables = 32;

export class ArchiveBrowser {
  readonly #reader: RandomAccess;
  readonly #tables = new Map<number, Promise<ReadonlyMap<bigint, readonly GoodbyeChild[]>>>();

  constructor(reader: RandomAccess) {
    this.#reader = reader;
  }

  /** The root directory. @throws CatarError; what reading throws */
  async root(): Promise<BrowsedNode> {
    return this.#describe(await readEntry(this.#reader, 0, this.#reader.size));
  }

  /** The node of a name in a directory. @throws CatarError; what reading throws */
  async find(directory: BrowsedNode, name: Buffer): Promise<BrowsedNode | undefined> {
    const filename = encodeRecord("filename", Buffer.concat([name, Buffer.alloc(1)]));
    for (const child of (await this.#table(directory.place)).get(hashName(name)) ?? []) {
      // Two names may have the same hash.
      if (child.end - child.start < filename.length) continue;
      if (compareBytes(await this.#reader.read(child.start, filename.length), filename) !== 0) continue;
      return this.#describe(await readEntry(this.#reader, child.start + filename.length, child.end));
    }
    return undefined;
  }

  /** The names in a directory, in the archive's order. @throws CatarError; what reading throws */
  async list({ place }: BrowsedNode): Promise<readonly BrowsedName[]> {
    const reader = this.#reader;
    const children = [...(await this.#table(place)).values()].flat().sort((a, b) => a.start - b.start);
    const names: BrowsedName[] = [];
    for (const child of children) {
      const bytes = Buffer.from(await reader.read(child.start, Math.min(longestName, child.end - child.start)));
      const size = bytes.length < headerSize + 2 ? 0n : bytes.readBigUInt64LE(0);
      const isName = size >= BigInt(headerSize + 2) && size <= BigInt(bytes.length);
      if (!isName || bytes.readBigUInt64LE(8) !== recordTypes.filename) {
        throw new CatarError("catar-goodbye", "GOODBYE names a place where no name is", {
          offset: child.start,
          expected: "filename",
          found: `${size} bytes of something else`,
        });
      }
      const length = Number(size);
      const entry = await readEntry(reader, child.start + length, child.end);
      names.push({ name: bytes.subarray(headerSize, length - 1), id: entry.entryStart, kind: entry.kind });
    }
    return names;
  }

  /** The children of a directory by the hashes of their names; those of the last directories are kept. */
  async #table(place: Place): Promise<ReadonlyMap<bigint, readonly GoodbyeChild[]>> {
    const known = this.#tables.get(place.entryStart);
    if (known !== undefined) return known;
    const table = this.#readTable(place);
    this.#tables.set(place.entryStart, table);
    const [oldest] = this.#tables.keys();
    if (this.#tables.size > keptTables && oldest !== undefined) this.#tables.delete(oldest);
    table.catch(() => this.#tables.delete(place.entryStart));
    return table;
  }

  async #readTable({ end, entryStart }: Place): Promise<ReadonlyMap<bigint, readonly GoodbyeChild[]>> {
    const tail = readGoodbyeTail(await this.#reader.read(end - goodbyeTailSize, goodbyeTailSize), end);
    if (tail.entryStart !== entryStart) {
      throw new CatarError("catar-goodbye", "GOODBYE belongs to another directory", {
        offset: end - goodbyeTailSize,
        expected: `an ENTRY at ${entryStart}`,
        found: `at ${tail.entryStart}`,
      });
    }
    const record = await this.#reader.read(tail.start, end - tail.start);
    return Map.groupBy(listGoodbye(record, tail.start, entryStart), ({ hash }) => hash);
  }

  /** Bytes of a file's content: fewer where it ends. @throws what reading throws */
  async read({ node, contentOffset }: BrowsedNode, offset: number, length: number): Promise<Uint8Array> {
    const size = node.content.kind === "file" ? node.content.size : 0;
    const count = Math.max(0, Math.min(length, size - offset));
    return count === 0 ? new Uint8Array(0) : this.#reader.read(contentOffset + offset, count);
  }

  /** Reads a node's records, as they stand in a directory that has nothing else, until they are whole. */
  async #describe(place: Place): Promise<BrowsedNode> {
    const decoder = new CatarDecoder({ flags: place.flags });
    const isRoot = place.entryStart === 0;
    const head = isRoot ? new Uint8Array(0) : wrapper(place.flags);
    for await (const bytes of this.#records(place, head)) {
      for (const event of decoder.push(bytes)) {
        if (event.type !== "entry" || event.depth !== (isRoot ? 0 : 1)) continue;
        const ids = ownerIds(place.flags);
        const { metadata, content } = event.node;
        return {
          id: place.entryStart,
          kind: content.kind,
          node: event.node,
          uid: ids.user(metadata.uid, metadata.user),
          gid: ids.group(metadata.gid, metadata.group),
          xattrs: wantedXattrs(event.node, { flags: place.flags }),
          contentOffset: event.contentOffset - head.length + place.entryStart,
          place,
        };
      }
    }
    throw new CatarError("catar-truncated", "the archive ends early", {
      offset: place.end,
      expected: "the records of a node",
      found: "its end",
    });
  }

  async *#records({ entryStart, end }: Place, head: Uint8Array): AsyncGenerator<Uint8Array, void> {
    yield head;
    for (let at = entryStart; at < end; at += lookSize) yield await this.#reader.read(at, Math.min(lookSize, end - at));
    // FIFOs and sockets end where the next record begins.
    yield encodeRecord("filename", Buffer.from("~\0"));
  }
}

/** The beginning of an archive whose first node comes next. */
function wrapper(flags: bigint): Uint8Array {
  const root = { metadata: { mode: 0o040_755, uid: 0, gid: 0, mtime: 0n }, content: { kind: "directory" as const } };
  return Buffer.concat([new CatarEncoder(flags).entry(undefined, root), encodeRecord("filename", Buffer.from(" \0"))]);
}
