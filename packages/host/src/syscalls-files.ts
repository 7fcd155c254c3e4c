/**
 * Files made, opened, linked, renamed and removed relative to directory descriptors (`*at` calls):
 * no symlink planted on the way can lead them elsewhere.
 * @module
 */
import { constants } from "node:fs";
import { cPath, systemCall, type PathLike } from "./libc.ts";

/** Flags of open(2); those that differ between architectures come from Node.js. */
export const openFlags: Readonly<
  Record<"read" | "write" | "readWrite" | "create" | "exclusive" | "truncate" | "directory" | "noFollow", number>
> &
  Readonly<Record<"nonBlock" | "noAtime" | "path", number>> = {
  read: constants.O_RDONLY,
  write: constants.O_WRONLY,
  readWrite: constants.O_RDWR,
  create: constants.O_CREAT,
  exclusive: constants.O_EXCL,
  truncate: constants.O_TRUNC,
  directory: constants.O_DIRECTORY,
  noFollow: constants.O_NOFOLLOW,
  nonBlock: constants.O_NONBLOCK,
  noAtime: constants.O_NOATIME,
  path: 0o10_000_000,
};
const closeOnExec = 0o2_000_000;

const callOpenat = systemCall("openat", "int openat(int dirfd, const void *path, int flags, unsigned int mode)");
const callMkdirat = systemCall("mkdirat", "int mkdirat(int dirfd, const void *path, unsigned int mode)");
const callMknodat = systemCall("mknodat", "int mknodat(int dirfd, const void *path, unsigned int mode, uint64_t dev)");
const callSymlinkat = systemCall("symlinkat", "int symlinkat(const void *target, int dirfd, const void *path)");
const callReadlinkat = systemCall(
  "readlinkat",
  "intptr_t readlinkat(int dirfd, const void *path, void *buffer, size_t size)",
);
const callUnlinkat = systemCall("unlinkat", "int unlinkat(int dirfd, const void *path, int flags)");
const callLinkat = systemCall(
  "linkat",
  "int linkat(int olddirfd, const void *oldpath, int newdirfd, const void *newpath, int flags)",
);
const callRenameat2 = systemCall(
  "renameat2",
  "int renameat2(int olddirfd, const void *oldpath, int newdirfd, const void *newpath, unsigned int flags)",
);

/**
 * Opens a file; close the descriptor with node:fs. Close-on-exec is always set.
 * @param flags of `openFlags`
 * @param mode of a file that is made
 */
export function openat(directory: number, path: PathLike, flags: number, mode = 0): number {
  return callOpenat(path, directory, cPath(path, "openat"), flags | closeOnExec, mode);
}

/** Makes a directory; the process's umask applies. */
export function mkdirat(directory: number, path: PathLike, mode: number): void {
  callMkdirat(path, directory, cPath(path, "mkdirat"), mode);
}

/** Makes a device node, FIFO, socket or empty file; the process's umask applies. */
export function mknodat(directory: number, path: PathLike, mode: number, major = 0, minor = 0): void {
  callMknodat(path, directory, cPath(path, "mknodat"), mode, makeDevice(major, minor));
}

/** Makes a symlink with the target. */
export function symlinkat(target: PathLike, directory: number, path: PathLike): void {
  callSymlinkat(path, cPath(target, "symlinkat"), directory, cPath(path, "symlinkat"));
}

/** The target of a symlink. */
export function readlinkat(directory: number, path: PathLike): Buffer {
  const name = cPath(path, "readlinkat");
  // A result that fills the buffer may have been cut.
  for (let size = 256; ; size *= 4) {
    const buffer = Buffer.alloc(size);
    const length = callReadlinkat(path, directory, name, buffer, buffer.length);
    if (length < size) return buffer.subarray(0, length);
  }
}

/** Removes a file, or with `directory: true` an empty directory. */
export function unlinkat(directory: number, path: PathLike, options: { readonly directory?: boolean } = {}): void {
  callUnlinkat(path, directory, cPath(path, "unlinkat"), options.directory === true ? atRemoveDirectory : 0);
}

/** Makes a hard link; a symlink is linked itself. */
export function linkat(oldDirectory: number, oldPath: PathLike, newDirectory: number, newPath: PathLike): void {
  callLinkat(newPath, oldDirectory, cPath(oldPath, "linkat"), newDirectory, cPath(newPath, "linkat"), 0);
}

/** How renameat2 treats what stands under the new name: "replace" it, fail with EEXIST, or swap both. */
export type RenameMode = "replace" | "no-replace" | "exchange";

/** Renames; file systems without support for "no-replace" or "exchange" fail with EINVAL. */
export function renameat2(
  oldDirectory: number,
  oldPath: PathLike,
  newDirectory: number,
  newPath: PathLike,
  mode: RenameMode = "replace",
): void {
  const flags = { replace: 0, "no-replace": 1, exchange: 2 }[mode];
  callRenameat2(newPath, oldDirectory, cPath(oldPath, "renameat2"), newDirectory, cPath(newPath, "renameat2"), flags);
}

const atRemoveDirectory = 0x200;

/** dev_t as glibc and the kernel's 64-bit interfaces pack it. */
function makeDevice(major: number, minor: number): bigint {
  const [high, low] = [BigInt(major), BigInt(minor)];
  return ((high & 0xffff_f000n) << 32n) | ((high & 0xfffn) << 8n) | ((low & 0xffff_ff00n) << 12n) | (low & 0xffn);
}
