/**
 * Extent trees: up to four extents in the inode, or one level of leaf blocks below it.
 * @module
 */
import { ConfigError } from "@imgtool/core";
import { crc32c } from "../../crc32.ts";
import { blockSize, type Extent } from "./format.ts";

const magic = 0xf30a;
const inInode = 4;
const inBlock = Math.floor((blockSize - 16) / 12);

/** Leaf blocks that so many extents need. */
export function leafBlocksFor(extents: number): number {
  if (extents <= inInode) return 0;
  const leaves = Math.ceil(extents / inBlock);
  if (leaves > inInode)
    throw new ConfigError(`a file of ${extents} extents: at most ${inInode * inBlock} can be written`, {
      code: "ext4-file-too-large",
    });
  return leaves;
}

function writeHeader(view: DataView, entries: number, max: number, depth: number): void {
  view.setUint16(0, magic, true);
  view.setUint16(2, entries, true);
  view.setUint16(4, max, true);
  view.setUint16(6, depth, true);
}

function writeExtents(view: DataView, extents: readonly Extent[]): void {
  for (const [index, { logical, start, count }] of extents.entries()) {
    const at = 12 + 12 * index;
    view.setUint32(at, logical, true);
    view.setUint16(at + 4, count, true);
    view.setUint16(at + 6, Math.floor(start / 2 ** 32), true);
    view.setUint32(at + 8, start >>> 0, true);
  }
}

/** The 60 bytes of i_block for extents and the blocks their leaves go to. */
export function encodeExtentRoot(extents: readonly Extent[], leaves: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(60);
  const view = new DataView(bytes.buffer);
  if (leaves.length === 0) {
    writeHeader(view, extents.length, inInode, 0);
    writeExtents(view, extents);
    return bytes;
  }
  writeHeader(view, leaves.length, inInode, 1);
  for (const [index, leaf] of leaves.entries()) {
    const at = 12 + 12 * index;
    view.setUint32(at, extents[index * inBlock]?.logical ?? 0, true);
    view.setUint32(at + 4, leaf >>> 0, true);
    view.setUint16(at + 8, Math.floor(leaf / 2 ** 32), true);
  }
  return bytes;
}

/** The leaf block of that index. */
export function encodeExtentLeaf(extents: readonly Extent[], index: number, inodeSeed: number): Uint8Array {
  const bytes = new Uint8Array(blockSize);
  const view = new DataView(bytes.buffer);
  const part = extents.slice(index * inBlock, (index + 1) * inBlock);
  writeHeader(view, part.length, inBlock, 0);
  writeExtents(view, part);
  const tail = 12 + 12 * inBlock;
  view.setUint32(tail, crc32c(bytes.subarray(0, tail), inodeSeed), true);
  return bytes;
}
