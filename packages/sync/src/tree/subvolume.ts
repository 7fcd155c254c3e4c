/**
 * btrfs subvolumes: directories that are archived with the features `subvolume` and `subvolume-ro`, and
 * become subvolumes again where the file system has them.
 * @module
 */
import { features } from "@imgtool/catar";
import { systemErrorCode } from "@imgtool/core";
import {
  createSubvolume,
  type FileStatus,
  isReadOnlySubvolume,
  mkdirat,
  setReadOnlySubvolume,
  statx,
} from "@imgtool/host";

const btrfsMagic = 0x9123_683e;
/** BTRFS_FIRST_FREE_OBJECTID: the inode of every subvolume's root, and of nothing else on btrfs. */
const subvolumeInode = 256n;

/** The attributes of a directory on a file system of this type, as feature bits. */
export function subvolumeAttributes(descriptor: number, status: FileStatus, fileSystem: number): bigint {
  const isDirectory = (status.mode & 0o170_000) === 0o040_000;
  if (fileSystem !== btrfsMagic || status.inode !== subvolumeInode || !isDirectory) return 0n;
  return features.subvolume | (isReadOnlySubvolume(descriptor) ? features["subvolume-ro"] : 0n);
}

/** Makes a directory, as a subvolume where it was one and the file system has them, as casync does. */
export function makeDirectory(parent: number, name: Buffer, attributes: bigint): void {
  if ((attributes & features.subvolume) !== 0n) {
    try {
      createSubvolume(parent, name);
      return;
    } catch (error) {
      // Unprivileged users may be refused subvolumes, and still have directories.
      if (!["ENOTTY", "ENOTSUP", "EINVAL", "EPERM", "EACCES"].includes(systemErrorCode(error) ?? "")) throw error;
    }
  }
  mkdirat(parent, name, 0o700);
}

/** Lets a directory that is a read-only subvolume be written to. */
export function openSubvolume(descriptor: number): void {
  if (isSubvolume(descriptor)) setReadOnlySubvolume(descriptor, false);
}

/** Gives a subvolume its attribute when everything in it is done. */
export function closeSubvolume(descriptor: number, attributes: bigint): void {
  if ((attributes & features["subvolume-ro"]) !== 0n && isSubvolume(descriptor)) setReadOnlySubvolume(descriptor, true);
}

function isSubvolume(descriptor: number): boolean {
  if (statx(descriptor, "").inode !== subvolumeInode) return false;
  try {
    isReadOnlySubvolume(descriptor);
    return true;
  } catch {
    // another file system, which has an inode of this number
    return false;
  }
}
