/**
 * Attributes that file systems keep beside the mode, as the archive's feature bits: chattr's flags and
 * the FAT attributes.
 * @module
 */
import { closeSync } from "node:fs";
import { features, featureSets, kindOfMode } from "@imgtool/catar";
import {
  getFatAttributes,
  getFileFlags,
  openat,
  openFlags,
  type PathLike,
  setFatAttributes,
  setFileFlags,
  statx,
} from "@imgtool/host";
import { systemErrorCode } from "@imgtool/core";

// FS_*_FL of linux/fs.h
const chattrBits: readonly (readonly [feature: bigint, flag: number])[] = [
  [features["flag-append"], 0x20],
  [features["flag-noatime"], 0x80],
  [features["flag-compr"], 0x4],
  [features["flag-nocow"], 0x80_0000],
  [features["flag-nodump"], 0x40],
  [features["flag-dirsync"], 0x1_0000],
  [features["flag-immutable"], 0x10],
  [features["flag-sync"], 0x8],
  [features["flag-nocomp"], 0x400],
  [features["flag-projinherit"], 0x2000_0000],
];

const fatBits: readonly (readonly [feature: bigint, flag: number])[] = [
  [features["flag-hidden"], 0x2],
  [features["flag-system"], 0x4],
  [features["flag-archive"], 0x20],
];

/** File systems with FAT attributes: vfat, and FUSE, which may pass them on. */
const fatTypes: ReadonlySet<number> = new Set([0x4d44, 0x6573_5546]);

// FS_IMMUTABLE_FL and FS_APPEND_FL
const lockingFlags = 0x30;

/** Takes the attributes that forbid changes off a file or directory; what has none stays as it is. */
export function unlock(descriptor: number): void {
  const flags = orNone(() => getFileFlags(descriptor));
  if ((flags & lockingFlags) !== 0) setFileFlags(descriptor, flags & ~lockingFlags);
}

/** As unlock(), for the file or directory under a name; a symlink is not followed. */
export function unlockEntry(directory: number, name: PathLike): void {
  const kind = kindOfMode(statx(directory, name).mode);
  if (kind !== "file" && kind !== "directory") return;
  const descriptor = openat(directory, name, openFlags.read | openFlags.noFollow | openFlags.nonBlock);
  try {
    unlock(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** The attributes of an open file or directory, as feature bits. */
export function readAttributes(descriptor: number, fileSystem: number): bigint {
  let attributes = fromBits(
    chattrBits,
    orNone(() => getFileFlags(descriptor)),
  );
  if (fatTypes.has(fileSystem))
    attributes |= fromBits(
      fatBits,
      orNone(() => getFatAttributes(descriptor)),
    );
  return attributes;
}

/**
 * Sets the attributes that the archive's flags record, and leaves all others alone.
 * @returns false when the file system cannot
 */
export function writeAttributes(descriptor: number, attributes: bigint, flags: bigint): boolean {
  const fat = attributes & flags & featureSets["fat-attrs"];
  if (fat !== 0n && !attempt(() => setFatAttributes(descriptor, toBits(fatBits, fat)))) return false;
  const recorded = flags & featureSets.chattr;
  if (recorded === 0n) return true;
  const before = orNone(() => getFileFlags(descriptor));
  const after = (before & ~toBits(chattrBits, recorded)) | toBits(chattrBits, attributes & recorded);
  return after === before || attempt(() => setFileFlags(descriptor, after));
}

function fromBits(table: typeof chattrBits, flags: number): bigint {
  return table.reduce((sum, [feature, flag]) => ((flags & flag) === 0 ? sum : sum | feature), 0n);
}

function toBits(table: typeof chattrBits, attributes: bigint): number {
  return table.reduce((sum, [feature, flag]) => ((attributes & feature) === 0n ? sum : sum | flag), 0);
}

const unsupported: ReadonlySet<string | undefined> = new Set(["ENOTTY", "ENOTSUP", "EOPNOTSUPP", "EINVAL", "ENOSYS"]);

/** What a request answers, or 0 where the file system does not know it. */
export function orNone(request: () => number): number {
  try {
    return request();
  } catch (error) {
    if (unsupported.has(systemErrorCode(error))) return 0;
    throw error;
  }
}

function attempt(request: () => void): boolean {
  try {
    request();
    return true;
  } catch (error) {
    if (unsupported.has(systemErrorCode(error))) return false;
    throw error;
  }
}
