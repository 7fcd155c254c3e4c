/**
 * Superblock, group descriptors and the journal's superblock.
 * @module
 */
import { parseUuid } from "@imgtool/core";
import { crc32c } from "../../crc32.ts";
import {
  blockSize,
  blocksPerGroup,
  compatible,
  descriptorSize,
  extraInodeSize,
  firstFreeInode,
  incompatible,
  inodeSize,
  journalInode,
  readOnlyCompatible,
} from "./format.ts";
import type { Geometry } from "./geometry.ts";

export interface SuperblockFields {
  readonly geometry: Geometry;
  readonly freeBlocks: number;
  readonly freeInodes: number;
  readonly uuid: string;
  readonly hashSeed: string;
  readonly label: Uint8Array;
  /** Seconds since 1970. */
  readonly created: number;
  /** i_block and size of the journal, or undefined without one. */
  readonly journal: { readonly content: Uint8Array; readonly size: number } | undefined;
}

const high = (value: number): number => Math.floor(value / 2 ** 32);
const sum = (flags: Readonly<Record<string, number>>): number => Object.values(flags).reduce((a, b) => a | b, 0);

/** The 1024 bytes of a superblock; `group` is the one whose copy it is. */
export function encodeSuperblock(fields: SuperblockFields, group: number): Uint8Array {
  const bytes = new Uint8Array(1024);
  const view = new DataView(bytes.buffer);
  const set32 = (at: number, value: number): void => view.setUint32(at, value >>> 0, true);
  const set16 = (at: number, value: number): void => view.setUint16(at, value, true);
  const { geometry, journal } = fields;
  set32(0x00, geometry.inodesPerGroup * geometry.groups);
  set32(0x04, geometry.blocks);
  set32(0x0c, fields.freeBlocks);
  set32(0x10, fields.freeInodes);
  set32(0x18, 2);
  set32(0x1c, 2);
  set32(0x20, blocksPerGroup);
  set32(0x24, blocksPerGroup);
  set32(0x28, geometry.inodesPerGroup);
  set32(0x30, fields.created);
  set16(0x36, 0xffff);
  set16(0x38, 0xef53);
  set16(0x3a, 1);
  set16(0x3c, 1);
  set32(0x40, fields.created);
  set32(0x4c, 1);
  set32(0x54, firstFreeInode - 1);
  set16(0x58, inodeSize);
  set16(0x5a, group);
  set32(0x5c, sum(compatible) & (journal === undefined ? ~compatible.hasJournal : -1));
  set32(0x60, sum(incompatible));
  set32(0x64, sum(readOnlyCompatible));
  bytes.set(parseUuid(fields.uuid), 0x68);
  bytes.set(fields.label, 0x78);
  bytes.set(parseUuid(fields.hashSeed), 0xec);
  view.setUint8(0xfc, 1);
  set16(0xfe, descriptorSize);
  // Default mount options as mke2fs sets them: user_xattr and acl.
  set32(0x100, 0x0c);
  set32(0x108, fields.created);
  if (journal !== undefined) {
    set32(0xe0, journalInode);
    view.setUint8(0xfd, 1);
    bytes.set(journal.content, 0x10c);
    set32(0x14c, journal.size);
    set32(0x148, high(journal.size));
  }
  set32(0x150, high(geometry.blocks));
  set32(0x158, high(fields.freeBlocks));
  set16(0x15c, extraInodeSize);
  set16(0x15e, extraInodeSize);
  // Directory hashes take bytes as signed, as on x86; recorded so that every machine agrees.
  set32(0x160, 1);
  view.setUint8(0x174, 4);
  view.setUint8(0x175, 1);
  set32(0x3fc, crc32c(bytes.subarray(0, 0x3fc)));
  return bytes;
}

export interface GroupFields {
  readonly blockBitmap: number;
  readonly inodeBitmap: number;
  readonly inodeTable: number;
  readonly freeBlocks: number;
  readonly freeInodes: number;
  readonly directories: number;
  /** Inodes at the end of the table that were never used. */
  readonly unusedInodes: number;
  readonly blockBitmapChecksum: number;
  readonly inodeBitmapChecksum: number;
}

/** A group's 64-byte descriptor. */
export function encodeDescriptor(fields: GroupFields, group: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(descriptorSize);
  const view = new DataView(bytes.buffer);
  const split32 = (low: number, high: number, value: number): void => {
    view.setUint32(low, value >>> 0, true);
    view.setUint32(high, Math.floor(value / 2 ** 32), true);
  };
  const split16 = (low: number, high: number, value: number): void => {
    view.setUint16(low, value & 0xffff, true);
    view.setUint16(high, value >>> 16, true);
  };
  split32(0x00, 0x20, fields.blockBitmap);
  split32(0x04, 0x24, fields.inodeBitmap);
  split32(0x08, 0x28, fields.inodeTable);
  split16(0x0c, 0x2c, fields.freeBlocks);
  split16(0x0e, 0x2e, fields.freeInodes);
  split16(0x10, 0x30, fields.directories);
  // INODE_ZEROED: the kernel need not clear the table.
  view.setUint16(0x12, 4, true);
  split16(0x18, 0x38, fields.blockBitmapChecksum);
  split16(0x1a, 0x3a, fields.inodeBitmapChecksum);
  split16(0x1c, 0x32, fields.unusedInodes);
  const number = new Uint8Array(4);
  new DataView(number.buffer).setUint32(0, group, true);
  view.setUint16(0x1e, crc32c(bytes, crc32c(number, seed)) & 0xffff, true);
  return bytes;
}

/** The first block of an empty journal (jbd2, big-endian). */
export function encodeJournalSuperblock(blocks: number, uuid: string): Uint8Array {
  const bytes = new Uint8Array(blockSize);
  const view = new DataView(bytes.buffer);
  view.setUint32(0x00, 0xc03b3998);
  view.setUint32(0x04, 4);
  view.setUint32(0x0c, blockSize);
  view.setUint32(0x10, blocks);
  view.setUint32(0x14, 1);
  view.setUint32(0x18, 1);
  bytes.set(parseUuid(uuid), 0x30);
  view.setUint32(0x40, 1);
  return bytes;
}

/** Journal blocks for a file system of so many blocks: mke2fs's steps. */
export function journalBlocks(blocks: number): number {
  const steps = [
    [2048, 0],
    [32_768, 1024],
    [262_144, 4096],
    [524_288, 8192],
    [4_194_304, 16_384],
    [8_388_608, 32_768],
    [16_777_216, 65_536],
    [33_554_432, 131_072],
  ] as const;
  return steps.find(([limit]) => blocks < limit)?.[1] ?? 262_144;
}
