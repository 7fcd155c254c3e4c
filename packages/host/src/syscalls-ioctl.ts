/**
 * ioctl requests of file systems: shared extents, chattr attributes, project ids, FAT attributes.
 * Request numbers are those of x86-64 and arm64, which agree.
 * @module
 */
import { systemCall } from "./libc.ts";

const callIoctl = systemCall("ioctl", "int ioctl(int fd, unsigned long request, void *argument)");

const ficloneRange = 0x4020_940d;
const getFlagsRequest = 0x8008_6601;
const setFlagsRequest = 0x4008_6602;
const getXattrRequest = 0x801c_581f;
const setXattrRequest = 0x401c_5820;
const fatGetAttributes = 0x8004_7210;
const fatSetAttributes = 0x4004_7211;

/**
 * Makes a range of the target share its blocks with a range of the source (FICLONERANGE). Offsets and
 * length are multiples of the file system's block size, but for a length that ends the source.
 * @throws SystemCallError EOPNOTSUPP, EXDEV or EINVAL where the file system cannot
 */
export function cloneRange(
  source: number,
  sourceOffset: number,
  length: number,
  target: number,
  targetOffset: number,
): void {
  const argument = Buffer.alloc(32);
  argument.writeBigInt64LE(BigInt(source), 0);
  argument.writeBigUInt64LE(BigInt(sourceOffset), 8);
  argument.writeBigUInt64LE(BigInt(length), 16);
  argument.writeBigUInt64LE(BigInt(targetOffset), 24);
  callIoctl(undefined, target, ficloneRange, argument);
}

/** The FS_*_FL bits that chattr sets. @throws SystemCallError ENOTTY or EOPNOTSUPP where there are none */
export function getFileFlags(descriptor: number): number {
  const argument = Buffer.alloc(8);
  callIoctl(undefined, descriptor, getFlagsRequest, argument);
  return argument.readUInt32LE(0);
}

/** Sets the FS_*_FL bits; append-only and immutable need privilege. */
export function setFileFlags(descriptor: number, flags: number): void {
  const argument = Buffer.alloc(8);
  argument.writeUInt32LE(flags, 0);
  callIoctl(undefined, descriptor, setFlagsRequest, argument);
}

// struct fsxattr: u32 flags, extent size, extents, project id; the rest is padding
const fsxattrSize = 28;
const projectIdAt = 12;

/** The project id for quotas. @throws SystemCallError ENOTTY or EOPNOTSUPP where there is none */
export function getProjectId(descriptor: number): number {
  const argument = Buffer.alloc(fsxattrSize);
  callIoctl(undefined, descriptor, getXattrRequest, argument);
  return argument.readUInt32LE(projectIdAt);
}

/** Sets the project id for quotas. */
export function setProjectId(descriptor: number, projectId: number): void {
  const argument = Buffer.alloc(fsxattrSize);
  callIoctl(undefined, descriptor, getXattrRequest, argument);
  argument.writeUInt32LE(projectId, projectIdAt);
  callIoctl(undefined, descriptor, setXattrRequest, argument);
}

/** The ATTR_* bits of a file on FAT: hidden 2, system 4, archive 0x20. */
export function getFatAttributes(descriptor: number): number {
  const argument = Buffer.alloc(4);
  callIoctl(undefined, descriptor, fatGetAttributes, argument);
  return argument.readUInt32LE(0);
}

/** Sets the ATTR_* bits of a file on FAT. */
export function setFatAttributes(descriptor: number, attributes: number): void {
  const argument = Buffer.alloc(4);
  argument.writeUInt32LE(attributes, 0);
  callIoctl(undefined, descriptor, fatSetAttributes, argument);
}

const subvolumeCreate = 0x5000_940e;
const subvolumeGetFlags = 0x8008_9419;
const subvolumeSetFlags = 0x4008_941a;
const subvolumeReadOnly = 2n;

/**
 * Makes an empty btrfs subvolume in an open directory.
 * @param name a single component of a path, without NUL
 * @throws SystemCallError ENOTTY where the file system is not btrfs; EEXIST
 */
export function createSubvolume(directory: number, name: Uint8Array): void {
  // struct btrfs_ioctl_vol_args: s64 descriptor, the name
  const argument = Buffer.alloc(4096);
  argument.set(name, 8);
  callIoctl(undefined, directory, subvolumeCreate, argument);
}

const subvolumeSnapshot = 0x5000_9417;

/**
 * Makes a snapshot of a btrfs subvolume, writable, in an open directory of the same file system.
 * @param source an open descriptor of the subvolume's root
 * @param name a single component of a path, without NUL
 * @throws SystemCallError ENOTTY, EINVAL for what is no subvolume; EXDEV; EEXIST
 */
export function snapshotSubvolume(source: number, directory: number, name: Uint8Array): void {
  // struct btrfs_ioctl_vol_args_v2: s64 descriptor, u64 transaction, u64 flags, u64[4], the name
  const argument = Buffer.alloc(4096);
  argument.writeBigInt64LE(BigInt(source), 0);
  argument.set(name, 56);
  callIoctl(undefined, directory, subvolumeSnapshot, argument);
}

/** Whether a btrfs subvolume is read-only. @throws SystemCallError ENOTTY or EINVAL for anything else */
export function isReadOnlySubvolume(descriptor: number): boolean {
  const argument = Buffer.alloc(8);
  callIoctl(undefined, descriptor, subvolumeGetFlags, argument);
  return (argument.readBigUInt64LE() & subvolumeReadOnly) !== 0n;
}

/** Makes a btrfs subvolume read-only, or writable again. */
export function setReadOnlySubvolume(descriptor: number, readOnly: boolean): void {
  const argument = Buffer.alloc(8);
  callIoctl(undefined, descriptor, subvolumeGetFlags, argument);
  const others = argument.readBigUInt64LE() & ~subvolumeReadOnly;
  argument.writeBigUInt64LE(readOnly ? others | subvolumeReadOnly : others);
  callIoctl(undefined, descriptor, subvolumeSetFlags, argument);
}

const zeroOutRequest = 0x127f;
const rereadPartitionsRequest = 0x125f;
const flushBuffersRequest = 0x1261;

/**
 * Writes zeros to a range of an open block device (BLKZEROOUT), which many devices do by themselves.
 * @param offset bytes, a multiple of the sector size, as is `length`
 * @throws SystemCallError ENOTTY or EOPNOTSUPP where that cannot be
 */
export function zeroBlockDevice(descriptor: number, offset: number, length: number): void {
  const argument = Buffer.alloc(16);
  argument.writeBigUInt64LE(BigInt(offset), 0);
  argument.writeBigUInt64LE(BigInt(length), 8);
  callIoctl(undefined, descriptor, zeroOutRequest, argument);
}

/** Has the kernel read the partition table of an open block device (BLKRRPART). @throws SystemCallError EBUSY, EINVAL */
export function rereadPartitions(descriptor: number): void {
  callIoctl(undefined, descriptor, rereadPartitionsRequest, Buffer.alloc(8));
}

/** Drops what the kernel has cached of an open block device (BLKFLSBUF), so that it is read from the device. */
export function dropDeviceCache(descriptor: number): void {
  callIoctl(undefined, descriptor, flushBuffersRequest, Buffer.alloc(8));
}

const blockDeviceSizeRequest = 0x8008_1272;

/** Bytes of an open block device (BLKGETSIZE64). @throws SystemCallError ENOTTY for anything else */
export function getBlockDeviceSize(descriptor: number): number {
  const argument = Buffer.alloc(8);
  callIoctl(undefined, descriptor, blockDeviceSizeRequest, argument);
  return Number(argument.readBigUInt64LE());
}
