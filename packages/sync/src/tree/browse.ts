/**
 * An archive that is looked into node by node, at any place: what a file system of it needs. Directories
 * are read through their GOODBYE tables; of a node only its records are read.
 * @module
 */
import {
  CatarDecoder,
  CatarError,
  type CatarNode,
  checkFileName,
  headerSize,
  type NodeKind,
  recordTypes,
} from "@imgtool/catar";
import {
  type DirectoryTable,
  encodeEnclosure,
  encodeName,
  findInTable,
  parseEntry,
  type Place,
  readEntry,
  readTable,
} from "./directory-table.ts";
import { ownerIds } from "./owners.ts";
import { wantedXattrs } from "./restore.ts";

/** Bytes that can be read from any place: an archive file, or an image of one. */
export interface RandomAccess {
  /** What it is called in errors. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Exactly `length` bytes. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** The same in pieces, where that saves copying them together. */
  readonly pieces?: (offset: number, length: number) => Promise<readonly Uint8Array[]>;
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
  /** Where it is, for child(), find() and node(). */
  readonly place: Place;
}

/** A name in a directory, and its node. */
export interface BrowsedChild {
  readonly name: Buffer;
  readonly node: BrowsedNode;
}

/** Records of a node are read in pieces of this size; few have more. */
const lookSize = 1024;
/** The longest FILENAME record. */
const longestName = headerSize + 256;
/** Directories whose tables are kept. */
const keptTables = 32;

export class ArchiveBrowser {
  readonly #reader: RandomAccess;
  readonly #tables = new Map<number, Promise<DirectoryTable>>();

  constructor(reader: RandomAccess) {
    this.#reader = reader;
  }

  /** The root directory. @throws CatarError; what reading throws */
  async root(): Promise<BrowsedNode> {
    return this.#describe(await readEntry(this.#reader, 0, this.#reader.size));
  }

  /** The node of a name in a directory. @throws CatarError; what reading throws */
  async find(directory: BrowsedNode, name: Buffer): Promise<BrowsedNode | undefined> {
    const place = await findInTable(this.#reader, await this.#table(directory.place), name);
    return place === undefined ? undefined : this.#describe(place);
  }

  /** How many names a directory has. @throws CatarError; what reading throws */
  async count({ place }: BrowsedNode): Promise<number> {
    return (await this.#table(place)).inOrder.length;
  }

  /**
   * Name number `i` of a directory in the archive's order, with its node: they lie one behind the other.
   * @throws CatarError; what reading throws
   */
  async child({ place: directory }: BrowsedNode, i: number): Promise<BrowsedChild> {
    const child = (await this.#table(directory)).inOrder[i];
    if (child === undefined) throw new RangeError(`the directory has no name number ${i}`);
    const { start, end } = child;
    const bytes = await this.#reader.read(start, Math.min(lookSize, end - start));
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    const size = view.length < headerSize + 2 ? 0n : view.readBigUInt64LE(0);
    const isName = size >= BigInt(headerSize + 2) && size <= BigInt(Math.min(view.length, longestName));
    if (!isName || view.readBigUInt64LE(8) !== recordTypes.filename) {
      throw new CatarError("catar-goodbye", "GOODBYE names a place where no name is", {
        offset: start,
        expected: "filename",
        found: `${size} bytes of something else`,
      });
    }
    const length = Number(size);
    const name = Buffer.from(view.subarray(headerSize, length - 1));
    checkFileName(name, start);
    const records = bytes.subarray(length);
    return { name, node: await this.#describe(parseEntry(records, start + length, end), records) };
  }

  /** A node at its place. @throws CatarError; what reading throws */
  async node(place: Place): Promise<BrowsedNode> {
    return this.#describe(place);
  }

  /** Tables of the last directories are kept: who looks up one name looks up its neighbours. */
  async #table(place: Place): Promise<DirectoryTable> {
    const known = this.#tables.get(place.entryStart);
    if (known !== undefined) return known;
    const table = readTable(this.#reader, place);
    this.#tables.set(place.entryStart, table);
    const [oldest] = this.#tables.keys();
    if (this.#tables.size > keptTables && oldest !== undefined) this.#tables.delete(oldest);
    table.catch(() => this.#tables.delete(place.entryStart));
    return table;
  }

  /** Bytes of a file's content, in pieces: fewer where it ends. @throws what reading throws */
  async read(node: BrowsedNode, offset: number, length: number): Promise<readonly Uint8Array[]> {
    const { content } = node.node;
    const count = content.kind === "file" ? Math.max(0, Math.min(length, content.size - offset)) : 0;
    const from = node.contentOffset + offset;
    if (count === 0) return [];
    return this.#reader.pieces === undefined
      ? [await this.#reader.read(from, count)]
      : this.#reader.pieces(from, count);
  }

  /** Reads a node's records, as they stand in a directory that has nothing else, until they are whole. */
  async #describe(place: Place, first?: Uint8Array): Promise<BrowsedNode> {
    const decoder = new CatarDecoder({ flags: place.flags });
    const isRoot = place.entryStart === 0;
    const head = isRoot ? new Uint8Array(0) : encodeEnclosure(place.flags, Buffer.from(" "));
    for await (const bytes of this.#records(place, head, first)) {
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

  async *#records({ entryStart, end }: Place, head: Uint8Array, first?: Uint8Array): AsyncGenerator<Uint8Array, void> {
    yield head;
    if (first !== undefined) yield first;
    for (let at = entryStart + (first?.length ?? 0); at < end; at += lookSize)
      yield await this.#reader.read(at, Math.min(lookSize, end - at));
    // FIFOs and sockets end where the next record begins.
    yield encodeName(Buffer.from("~"));
  }
}
