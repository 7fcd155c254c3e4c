/**
 * What Node.js lacks for the content of open files: holes, locks that end with the process, and files
 * that are in memory only.
 * @module
 */
import { fchmodSync } from "node:fs";
import { systemErrorCode } from "@imgtool/core";
import { cPath, systemCall } from "./libc.ts";

const callFallocate = systemCall("fallocate", "int fallocate(int fd, int mode, int64_t offset, int64_t length)");
const callLseek = systemCall("lseek", "int64_t lseek(int fd, int64_t offset, int whence)");
const callFlock = systemCall("flock", "int flock(int fd, int operation)");
const callMemoryFile = systemCall("memfd_create", "int memfd_create(const void *name, unsigned int flags)");

const closeOnExec = 1;
const fallocateKeepSize = 1;
const fallocatePunchHole = 2;
const seekDataWhence = 3;
const seekHoleWhence = 4;
const lockExclusive = 2;
const lockNonBlocking = 4;

/**
 * Makes a range of a file a hole: it reads as zeros and takes no space; the file keeps its length.
 * @throws SystemCallError EOPNOTSUPP where the file system has no holes
 */
export function punchHole(descriptor: number, offset: number, length: number): void {
  callFallocate(undefined, descriptor, fallocateKeepSize | fallocatePunchHole, offset, length);
}

/** A range of bytes: from, and the offset behind it. */
export type DataRange = readonly [from: number, to: number];

/**
 * The ranges of a file that are not holes, in order; all of it where the file system does not tell. The
 * descriptor's position is changed.
 */
export function* dataRanges(descriptor: number, size: number): Generator<DataRange, void> {
  for (let at = 0; at < size;) {
    let from: number;
    try {
      from = callLseek(undefined, descriptor, at, seekDataWhence);
    } catch (error) {
      // no data behind it
      if (systemErrorCode(error) === "ENXIO") return;
      throw error;
    }
    at = callLseek(undefined, descriptor, from, seekHoleWhence);
    yield [from, Math.min(at, size)];
  }
}

/** Takes the lock of an open file, which ends when it is closed; false when another has it. */
export function tryLock(descriptor: number): boolean {
  try {
    callFlock(undefined, descriptor, lockExclusive | lockNonBlocking);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === "EAGAIN") return false;
    throw error;
  }
}

/**
 * An open, empty file in memory, for this user only: it has no name in any folder, and is gone with the
 * last that has it open. Children get it by their `stdio`.
 * @param name for /proc/PID/fd
 * @returns its descriptor
 */
export function memoryFile(name: string): number {
  const descriptor = callMemoryFile(undefined, cPath(name, "memfd_create"), closeOnExec);
  fchmodSync(descriptor, 0o600);
  return descriptor;
}
