/**
 * Looks into an archive at any place: what an ENTRY says, and which children a directory has by its
 * GOODBYE table. What lies outside of the node that is looked into is not read.
 * @module
 */
import { compareBytes } from "@imgtool/core";
import {
  CatarEncoder,
  CatarError,
  encodeRecord,
  type GoodbyeChild,
  goodbyeTailSize,
  hashName,
  headerSize,
  kindOfMode,
  listGoodbye,
  type NodeKind,
  readGoodbyeTail,
  recordTypes,
} from "@imgtool/catar";
import type { ArchiveReader } from "./archive-reader.ts";

/** Bytes that can be read from any place. */
export type Readable = Pick<ArchiveReader, "read">;

/** Where a node is in its archive. */
export interface Place {
  readonly entryStart: number;
  readonly end: number;
  readonly flags: bigint;
  readonly kind: NodeKind;
}

/** The children of a directory by the hashes of their names, of which two may be equal. */
export interface DirectoryTable {
  readonly directory: Place;
  readonly children: ReadonlyMap<bigint, readonly GoodbyeChild[]>;
  /** The children as they stand in the archive. */
  readonly inOrder: readonly GoodbyeChild[];
}

/** Reads a directory's GOODBYE table. @throws CatarError; what reading throws */
export async function readTable(reader: Readable, directory: Place): Promise<DirectoryTable> {
  const { end, entryStart } = directory;
  const tail = readGoodbyeTail(await readInside(reader, end - goodbyeTailSize, goodbyeTailSize, directory), end);
  if (tail.entryStart !== entryStart) {
    throw new CatarError("catar-goodbye", "GOODBYE belongs to another directory", {
      offset: end - goodbyeTailSize,
      expected: `an ENTRY at ${entryStart}`,
      found: `at ${tail.entryStart}`,
    });
  }
  const record = await reader.read(tail.start, end - tail.start);
  const children = listGoodbye(record, tail.start, entryStart);
  return {
    directory,
    children: Map.groupBy(children, ({ hash }) => hash),
    inOrder: children.toSorted((a, b) => a.start - b.start),
  };
}

/** The node of a name in a directory. @throws CatarError; what reading throws */
export async function findInTable(
  reader: Readable,
  { directory, children }: DirectoryTable,
  name: Buffer,
): Promise<Place | undefined> {
  const filename = encodeName(name);
  for (const child of children.get(hashName(name)) ?? []) {
    if (child.end - child.start < filename.length) continue;
    const found = await readInside(reader, child.start, filename.length, directory);
    if (compareBytes(found, filename) === 0) return readEntry(reader, child.start + filename.length, child.end);
  }
  return undefined;
}

const entrySize = 64;

/** What the ENTRY at an offset says. @throws CatarError */
export async function readEntry(reader: Readable, entryStart: number, end: number): Promise<Place> {
  return parseEntry(await readInside(reader, entryStart, entrySize, { entryStart, end }), entryStart, end);
}

/** What an ENTRY says, of which the bytes are. @throws CatarError */
export function parseEntry(bytes: Uint8Array, entryStart: number, end: number): Place {
  if (bytes.length < entrySize) throw truncated(entryStart, entrySize, end);
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

/** Bytes of a range, which has to be inside of a node. @throws CatarError `catar-truncated` */
async function readInside(
  reader: Readable,
  offset: number,
  length: number,
  limits: { readonly entryStart: number; readonly end: number },
): Promise<Uint8Array> {
  if (offset < limits.entryStart || offset + length > limits.end) throw truncated(offset, length, limits.end);
  return reader.read(offset, length);
}

function truncated(offset: number, length: number, end: number): CatarError {
  return new CatarError("catar-truncated", "the archive ends early", {
    offset: end,
    expected: `${length} bytes at ${offset}`,
    found: `${Math.max(end - offset, 0)} bytes`,
  });
}

/** A FILENAME record. */
export function encodeName(name: Uint8Array): Uint8Array {
  return encodeRecord("filename", Buffer.concat([name, Buffer.alloc(1)]));
}

/** The beginning of an archive of a directory that has one node, up to the node's ENTRY. */
export function encodeEnclosure(flags: bigint, name: Uint8Array): Uint8Array {
  const root = { metadata: { mode: 0o040_755, uid: 0, gid: 0, mtime: 0n }, content: { kind: "directory" as const } };
  return Buffer.concat([new CatarEncoder(flags).entry(undefined, root), encodeName(name)]);
}
