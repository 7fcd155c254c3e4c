/**
 * How long a file system is, by its own superblock: what lies behind it on a partition is left over
 * from before. Pure: the first bytes in, a length out.
 *
 * Sources: the kernel's headers of ext4, btrfs, XFS, squashfs, EROFS and swap; Microsoft's FAT
 * specification, section 3; the LUKS2 on-disk format 1.1, sections 2 and 3; the header of Android's
 * boot images, version 0. casync 2 knows squashfs, ext4, FAT and Android's, with the same results.
 * @module
 */

/** Bytes at the beginning of a file system that fileSystemSize() looks at. */
export const fileSystemHeadSize: number = 128 * 1024;

type FileSystemKind = "squashfs" | "android-boot" | "ext4" | "fat" | "btrfs" | "xfs" | "erofs" | "swap" | "luks2";

export interface FileSystemSize {
  readonly kind: FileSystemKind;
  /** Bytes. */
  readonly size: number;
}

/**
 * Kind and length of the file system that begins with these bytes. Undefined for what is none of
 * those known, for headers that make no sense, and where two kinds claim the same bytes: then the
 * whole device is content.
 * @param head the first `fileSystemHeadSize` bytes, fewer where there are no more
 */
export function fileSystemSize(head: Uint8Array): FileSystemSize | undefined {
  const bytes = Buffer.from(head.buffer, head.byteOffset, Math.min(head.length, fileSystemHeadSize));
  const found = readers.flatMap(({ kind, end, size: read }) => {
    const size = bytes.length < end ? undefined : read(bytes);
    return size === undefined ? [] : [{ kind, size }];
  });
  const [first, ...others] = found;
  if (first === undefined || others.length > 0) return undefined;
  return Number.isSafeInteger(first.size) && first.size > 0 ? first : undefined;
}

interface SuperblockReader {
  readonly kind: FileSystemKind;
  /** The superblock's end in bytes. */
  readonly end: number;
  /** Undefined when it is none. */
  readonly size: (bytes: Buffer) => number | undefined;
}

const readers: readonly SuperblockReader[] = [
  { kind: "squashfs", end: 96, size: squashfsSize },
  { kind: "android-boot", end: 1632, size: androidBootSize },
  { kind: "ext4", end: 2048, size: ext4Size },
  { kind: "fat", end: 512, size: fatSize },
  { kind: "btrfs", end: 0x1_1000, size: btrfsSize },
  { kind: "xfs", end: 512, size: xfsSize },
  { kind: "erofs", end: 1152, size: erofsSize },
  { kind: "swap", end: 4096, size: swapSize },
  { kind: "luks2", end: 4096, size: luks2Size },
];

function hasText(bytes: Buffer, offset: number, text: string): boolean {
  return bytes.toString("latin1", offset, offset + text.length) === text;
}

function isPowerOfTwo(value: number, min: number, max: number): boolean {
  return value >= min && value <= max && Number.isInteger(Math.log2(value));
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

/** Squashfs is mounted from devices in blocks of 4 KiB: mksquashfs fills the last one up. */
function squashfsSize(bytes: Buffer): number | undefined {
  if (!hasText(bytes, 0, "hsqs") || bytes.readUInt16LE(28) !== 4) return undefined;
  return roundUp(Number(bytes.readBigUInt64LE(40)), 4096);
}

function androidBootSize(bytes: Buffer): number | undefined {
  const page = bytes.readUInt32LE(36);
  if (!hasText(bytes, 0, "ANDROID!") || !isPowerOfTwo(page, 512, 65_536)) return undefined;
  // kernel, initrd, second stage, device tree, each after the other in whole pages
  const parts = [608, ...[8, 16, 24, 40].map((at) => bytes.readUInt32LE(at))];
  return parts.reduce((sum, part) => sum + roundUp(part, page), 0);
}

function ext4Size(bytes: Buffer): number | undefined {
  const at = 1024;
  const logBlockSize = bytes.readUInt32LE(at + 0x18);
  if (bytes.readUInt16LE(at + 0x38) !== 0xef53 || logBlockSize > 6) return undefined;
  const has64Bits = (bytes.readUInt32LE(at + 0x60) & 0x80) !== 0;
  const blocks = bytes.readUInt32LE(at + 4) + (has64Bits ? bytes.readUInt32LE(at + 0x150) * 2 ** 32 : 0);
  return blocks * 2 ** (10 + logBlockSize);
}

/** The signature alone is that of every boot sector: partition tables have it as well. */
function fatSize(bytes: Buffer): number | undefined {
  const isFat = bytes.readUInt16LE(510) === 0xaa55 && (hasText(bytes, 54, "FAT1") || hasText(bytes, 82, "FAT32   "));
  const [sectorSize, sectorsPerCluster, fats] = [bytes.readUInt16LE(11), bytes.readUInt8(13), bytes.readUInt8(16)];
  if (!isFat || !isPowerOfTwo(sectorSize, 512, 4096) || !isPowerOfTwo(sectorsPerCluster, 1, 128)) return undefined;
  if (fats !== 1 && fats !== 2) return undefined;
  return (bytes.readUInt16LE(19) || bytes.readUInt32LE(32)) * sectorSize;
}

/** What this device has of a file system that may have several. */
function btrfsSize(bytes: Buffer): number | undefined {
  const at = 0x1_0000;
  if (!hasText(bytes, at + 0x40, "_BHRfS_M")) return undefined;
  return Number(bytes.readBigUInt64LE(at + 0xc9 + 8));
}

function xfsSize(bytes: Buffer): number | undefined {
  const blockSize = bytes.readUInt32BE(4);
  if (!hasText(bytes, 0, "XFSB") || !isPowerOfTwo(blockSize, 512, 65_536)) return undefined;
  return Number(bytes.readBigUInt64BE(8)) * blockSize;
}

function erofsSize(bytes: Buffer): number | undefined {
  const at = 1024;
  const logBlockSize = bytes.readUInt8(at + 12);
  if (bytes.readUInt32LE(at) !== 0xe0f5_e1e2 || logBlockSize < 9 || logBlockSize > 16) return undefined;
  // block numbers of 48 bits have their upper part elsewhere
  if ((bytes.readUInt32LE(at + 80) & 0x80) !== 0) return undefined;
  return bytes.readUInt32LE(at + 36) * 2 ** logBlockSize;
}

/** The signature ends the first page, whose size is that of the machine. */
function swapSize(bytes: Buffer): number | undefined {
  const page = [4096, 8192, 16_384, 65_536].find((size) => hasText(bytes, size - 10, "SWAPSPACE2"));
  if (page === undefined || bytes.readUInt32LE(1024) !== 1) return undefined;
  return (bytes.readUInt32LE(1028) + 1) * page;
}

/** A segment without a fixed length takes the rest of the device, whatever that is. */
function luks2Size(bytes: Buffer): number | undefined {
  if (!hasText(bytes, 0, "LUKS\u00BA\u00BE") || bytes.readUInt16BE(6) !== 2) return undefined;
  const headerSize = Number(bytes.readBigUInt64BE(8));
  if (!isPowerOfTwo(headerSize, 16_384, bytes.length)) return undefined;
  const text = bytes.toString("utf8", 4096, headerSize).replace(/\0.*$/su, "");
  let ends: readonly number[];
  try {
    const { segments } = JSON.parse(text) as { segments: Record<string, { offset: string; size: string }> };
    ends = Object.values(segments).map(({ offset, size }) => Number(offset) + Number(size));
  } catch {
    return undefined;
  }
  return ends.length > 0 && ends.every((end) => Number.isSafeInteger(end)) ? Math.max(...ends) : undefined;
}
