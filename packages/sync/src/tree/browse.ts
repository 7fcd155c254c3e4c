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

  /** The names in a directory, in the archive's order. @throws CatarError; what reading throws */
  async list({ place }: BrowsedNode): Promise<readonly BrowsedName[]> {
    const reader = this.#reader;
    const children = [...(await this.#table(place)).children.values()].flat().sort((a, b) => a.start - b.start);
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
      const name = bytes.subarray(headerSize, length - 1);
      checkFileName(name, child.start);
      const entry = await readEntry(reader, child.start + length, child.end);
      names.push({ name, id: entry.entryStart, kind: entry.kind });
    }
    return names;
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
    const head = isRoot ? new Uint8Array(0) : encodeEnclosure(place.flags, Buffer.from(" "));
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
    yield encodeName(Buffer.from("~"));
  }
}
