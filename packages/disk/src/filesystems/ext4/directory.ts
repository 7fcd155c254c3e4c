/**
 * Directories: blocks of entries, each closed by a checksum. Those of more than one block have an index
 * and are in the order of hashes, others in that of names.
 * @module
 */
import { crc32c } from "../../crc32.ts";
import type { NodeKind } from "../../tree/node.ts";
import { blockSize } from "./format.ts";
import { DirectoryHash, encodeIndexRoot, indexLimit } from "./htree.ts";

const tailSize = 12;
const usable = blockSize - tailSize;

/** EXT4_FT_* of the kinds of files. */
const fileTypes: Readonly<Record<NodeKind, number>> = {
  file: 1,
  directory: 2,
  character: 3,
  block: 4,
  fifo: 5,
  socket: 6,
  symlink: 7,
};

export interface DirectoryEntry {
  readonly inode: number;
  readonly name: Buffer;
  readonly kind: NodeKind;
}

export interface DirectoryLayout {
  readonly blocks: number;
  /** The hash index (htree) in front of the pages, if any: where each page begins. */
  readonly index: { readonly inode: number; readonly parent: number; readonly hashes: readonly number[] } | undefined;
  readonly pages: readonly (readonly DirectoryEntry[])[];
}

const entryLength = (name: Buffer): number => 8 + Math.ceil(name.length / 4) * 4;

/** Decides which entry goes into which block. */
export function layoutDirectory(
  inode: number,
  parent: number,
  children: readonly DirectoryEntry[],
  options: { readonly hashSeed: string; readonly minimumBlocks: number },
): DirectoryLayout {
  const entries: DirectoryEntry[] = [
    { inode, name: Buffer.from("."), kind: "directory" },
    { inode: parent, name: Buffer.from(".."), kind: "directory" },
    ...children,
  ];
  const pages = packEntries(entries);
  if (pages.length > 1) {
    const indexed = indexDirectory(inode, parent, children, options.hashSeed);
    if (indexed !== undefined) return indexed;
  }
  while (pages.length < options.minimumBlocks) pages.push([]);
  return { blocks: pages.length, index: undefined, pages };
}

/** A layout in the order of hashes; undefined for more blocks than one level of the index can name. */
function indexDirectory(
  inode: number,
  parent: number,
  children: readonly DirectoryEntry[],
  hashSeed: string,
): DirectoryLayout | undefined {
  const hasher = new DirectoryHash(hashSeed);
  const hashOf = new Map(children.map((entry) => [entry, hasher.of(entry.name)]));
  const hash = (entry: DirectoryEntry | undefined): number => (entry && hashOf.get(entry)) ?? 0;
  const sorted = children.toSorted((a, b) => hash(a) - hash(b) || Buffer.compare(a.name, b.name));
  const pages = packEntries(sorted);
  if (pages.length > indexLimit) return undefined;
  const hashes = pages.map((page, number) => {
    const first = hash(page[0]);
    // The lowest bit says that entries of this hash begin in the page before.
    return number > 0 && hash(pages[number - 1]?.at(-1)) === first ? first + 1 : first;
  });
  return { blocks: pages.length + 1, index: { inode, parent, hashes }, pages };
}

function packEntries(entries: readonly DirectoryEntry[]): DirectoryEntry[][] {
  const pages: DirectoryEntry[][] = [];
  let page: DirectoryEntry[] = [];
  let used = 0;
  for (const entry of entries) {
    const length = entryLength(entry.name);
    if (used + length > usable) {
      pages.push(page);
      page = [];
      used = 0;
    }
    page.push(entry);
    used += length;
  }
  pages.push(page);
  return pages;
}

/** The blocks of a directory; `inodeSeed` is the checksum seed of its inode. */
export function* encodeDirectory(layout: DirectoryLayout, inodeSeed: number): Generator<Uint8Array> {
  const { index } = layout;
  if (index !== undefined) yield encodeIndexRoot(index.inode, index.parent, index.hashes, inodeSeed);
  for (const page of layout.pages) yield encodePage(page, inodeSeed);
}

function encodePage(entries: readonly DirectoryEntry[], inodeSeed: number): Uint8Array {
  const bytes = new Uint8Array(blockSize);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [index, { inode, name, kind }] of entries.entries()) {
    const length = index === entries.length - 1 ? usable - at : entryLength(name);
    view.setUint32(at, inode, true);
    view.setUint16(at + 4, length, true);
    view.setUint8(at + 6, name.length);
    view.setUint8(at + 7, fileTypes[kind]);
    bytes.set(name, at + 8);
    at += length;
  }
  // An empty block is one unused entry.
  if (entries.length === 0) view.setUint16(4, usable, true);
  view.setUint16(usable + 4, tailSize, true);
  view.setUint8(usable + 7, 0xde);
  view.setUint32(usable + 8, crc32c(bytes.subarray(0, usable), inodeSeed), true);
  return bytes;
}
