/**
 * The structures of FAT on disk: boot sector, FSInfo, tables, directory entries (Microsoft's FAT
 * specification, 2000 and 2005; UEFI 2.10, section 13.3).
 * @module
 */
import { tables, type FatBits, type FatGeometry } from "./geometry.ts";

export const attributes = { volumeLabel: 0x08, directory: 0x10, archive: 0x20 } as const;
export const rootCluster = 2;
const backupSector = 6;

export interface VolumeFields {
  readonly geometry: FatGeometry;
  readonly serial: number;
  /** 11 characters. */
  readonly label: string;
  readonly usedClusters: number;
}

function put(bytes: Uint8Array, offset: number, text: string): void {
  for (let index = 0; index < text.length; index++) bytes[offset + index] = text.charCodeAt(index);
}

/** The reserved sectors: the boot sector, and in FAT32 FSInfo and the copies of both. */
export function encodeReserved({ geometry, serial, label, usedClusters }: VolumeFields): Uint8Array {
  const { bits, sectorSize, totalSectors } = geometry;
  const bytes = new Uint8Array(geometry.reservedSectors * sectorSize);
  const view = new DataView(bytes.buffer);
  const extended = bits === 32 ? 64 : 36;
  // A jump over the fields to code that gives the next boot device a chance, then halts.
  bytes.set([0xeb, extended + 26 - 2, 0x90]);
  bytes.set([0xcd, 0x18, 0xf4, 0xeb, 0xfd], extended + 26);
  put(bytes, 3, "imgtool ");
  view.setUint16(11, sectorSize, true);
  bytes[13] = geometry.sectorsPerCluster;
  view.setUint16(14, geometry.reservedSectors, true);
  bytes[16] = tables;
  view.setUint16(17, geometry.rootEntries, true);
  const short = bits !== 32 && totalSectors < 65_536;
  view.setUint16(19, short ? totalSectors : 0, true);
  bytes[21] = 0xf8;
  view.setUint16(22, bits === 32 ? 0 : geometry.fatSectors, true);
  view.setUint16(24, sectorsPerTrack(totalSectors), true);
  view.setUint16(26, 64, true);
  view.setUint32(32, short ? 0 : totalSectors, true);
  if (bits === 32) {
    view.setUint32(36, geometry.fatSectors, true);
    view.setUint32(44, rootCluster, true);
    view.setUint16(48, 1, true);
    view.setUint16(50, backupSector, true);
  }
  bytes[extended] = 0x80;
  bytes[extended + 2] = 0x29;
  view.setUint32(extended + 3, serial, true);
  put(bytes, extended + 7, label);
  put(bytes, extended + 18, `FAT${bits}   `);
  view.setUint16(510, 0xaa55, true);
  if (bits === 32) {
    const info = sectorSize;
    view.setUint32(info, 0x41615252, true);
    view.setUint32(info + 484, 0x61417272, true);
    view.setUint32(info + 488, geometry.clusters - usedClusters, true);
    view.setUint32(info + 492, usedClusters < geometry.clusters ? usedClusters + 2 : 0xffffffff, true);
    view.setUint16(info + 510, 0xaa55, true);
    bytes.copyWithin(backupSector * sectorSize, 0, 2 * sectorSize);
  }
  return bytes;
}

/** mtools wants whole tracks: the largest that divides the volume. */
function sectorsPerTrack(totalSectors: number): number {
  let sectors = 32;
  while (totalSectors % sectors !== 0) sectors /= 2;
  return sectors;
}

/** The table as far as it is used, from the lengths of the chains, which follow each other from cluster 2 on. */
export function encodeTable(bits: FatBits, chains: readonly number[]): Uint8Array {
  const used = chains.reduce((sum, count) => sum + count, 2);
  const bytes = new Uint8Array(Math.ceil((used * bits) / 8));
  const view = new DataView(bytes.buffer);
  const set = (cluster: number, value: number): void => {
    if (bits === 32) view.setUint32(cluster * 4, value, true);
    else if (bits === 16) view.setUint16(cluster * 2, value & 0xffff, true);
    else {
      const at = cluster + (cluster >> 1);
      const twelve = (value & 0xfff) << (cluster % 2 === 0 ? 0 : 4);
      bytes[at] = (bytes[at] as number) | (twelve & 0xff);
      bytes[at + 1] = (bytes[at + 1] as number) | (twelve >> 8);
    }
  };
  const end = 0x0fffffff;
  set(0, 0x0ffffff8);
  set(1, end);
  let cluster = 2;
  for (const count of chains)
    for (let left = count; left > 0; left--, cluster++) set(cluster, left === 1 ? end : cluster + 1);
  return bytes;
}

export interface EntryFields {
  /** 11 characters. */
  readonly alias: string;
  readonly attributes: number;
  /** 0 for an empty file and for the root directory. */
  readonly cluster: number;
  readonly size: number;
  /** Seconds since 1970. */
  readonly seconds: number;
}

/** A directory entry of 32 bytes. */
export function encodeEntry(fields: EntryFields): Uint8Array {
  const bytes = new Uint8Array(32);
  const view = new DataView(bytes.buffer);
  const { date, time } = dosTime(fields.seconds);
  put(bytes, 0, fields.alias);
  bytes[11] = fields.attributes;
  view.setUint16(14, time, true);
  view.setUint16(16, date, true);
  view.setUint16(18, date, true);
  view.setUint16(20, fields.cluster >>> 16, true);
  view.setUint16(22, time, true);
  view.setUint16(24, date, true);
  view.setUint16(26, fields.cluster & 0xffff, true);
  view.setUint32(28, fields.size, true);
  return bytes;
}

const firstTime = Date.UTC(1980, 0, 1) / 1000;
const lastTime = Date.UTC(2107, 11, 31, 23, 59, 58) / 1000;

/** UTC in FAT's fields, which go from 1980 to 2107 in steps of two seconds. */
function dosTime(seconds: number): { readonly date: number; readonly time: number } {
  const at = new Date(Math.min(lastTime, Math.max(firstTime, seconds)) * 1000);
  return {
    date: ((at.getUTCFullYear() - 1980) << 9) | ((at.getUTCMonth() + 1) << 5) | at.getUTCDate(),
    time: (at.getUTCHours() << 11) | (at.getUTCMinutes() << 5) | (at.getUTCSeconds() >> 1),
  };
}
