/**
 * Metadata of files with nanoseconds and mount ids: statx, and the calls that set owner, mode and
 * times. An empty path stands for the descriptor itself.
 * @module
 */
import { cPath, foreign, lastErrno, systemCall, SystemCallError, type PathLike } from "./libc.ts";

const atSymlinkNoFollow = 0x100;
const atEmptyPath = 0x1000;

/** What statx tells about a file; symlinks are never followed. */
export interface FileStatus {
  /** Type and permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  readonly inode: bigint;
  /** Bytes. */
  readonly size: number;
  /** Allocated blocks of 512 bytes. */
  readonly blocks: number;
  /** Nanoseconds since 1970. */
  readonly mtime: bigint;
  readonly ctime: bigint;
  /** Numbers of a device node. */
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** Device that holds the file, as "major:minor". */
  readonly fileSystem: string;
  /** Mount that the file was reached through; 0 on kernels before 5.8. */
  readonly mountId: bigint;
  /** Whether chattr's nodump is set; undefined where the file system does not say so here. */
  readonly nodump: boolean | undefined;
}

const callStatx = systemCall(
  "statx",
  "int statx(int dirfd, const void *path, int flags, unsigned int mask, void *buffer)",
);
const basicAndMountId = 0x7ff | 0x1000;
const attributeNodump = 0x40;
// Calls are synchronous, so one buffer serves them all: allocating costs as much as the call.
const statxBuffer: Buffer = Buffer.alloc(256);

/** Status of a file below a directory descriptor, or with path "" of the descriptor itself. */
export function statx(directory: number, path: PathLike): FileStatus {
  const buffer = statxBuffer;
  callStatx(path, directory, cPath(path, "statx"), flagsFor(path), basicAndMountId, buffer);
  const time = (at: number): bigint => buffer.readBigInt64LE(at) * 1_000_000_000n + BigInt(buffer.readUInt32LE(at + 8));
  return {
    mode: buffer.readUInt16LE(28),
    uid: buffer.readUInt32LE(20),
    gid: buffer.readUInt32LE(24),
    links: buffer.readUInt32LE(16),
    inode: buffer.readBigUInt64LE(32),
    size: Number(buffer.readBigUInt64LE(40)),
    blocks: Number(buffer.readBigUInt64LE(48)),
    ctime: time(96),
    mtime: time(112),
    deviceMajor: buffer.readUInt32LE(128),
    deviceMinor: buffer.readUInt32LE(132),
    fileSystem: `${buffer.readUInt32LE(136)}:${buffer.readUInt32LE(140)}`,
    mountId: buffer.readBigUInt64LE(144),
    // stx_attributes and their mask, of which these bits are in the lower halves
    nodump:
      (buffer.readUInt32LE(56) & attributeNodump) === 0 ? undefined : (buffer.readUInt32LE(8) & attributeNodump) !== 0,
  };
}

const callFchownat = systemCall(
  "fchownat",
  "int fchownat(int dirfd, const void *path, unsigned int uid, unsigned int gid, int flags)",
);
const callFchmodat = systemCall("fchmodat", "int fchmodat(int dirfd, const void *path, unsigned int mode, int flags)");
const callFchmod = systemCall("fchmod", "int fchmod(int fd, unsigned int mode)");
const callUtimensat = systemCall(
  "utimensat",
  "int utimensat(int dirfd, const void *path, const void *times, int flags)",
);
const callFutimens = systemCall("futimens", "int futimens(int fd, const void *times)");

/** Sets the owner; symlinks are not followed. */
export function fchownat(directory: number, path: PathLike, uid: number, gid: number): void {
  callFchownat(path, directory, cPath(path, "fchownat"), uid, gid, flagsFor(path));
}

/** Sets the permission bits; a symlink fails with EOPNOTSUPP. */
export function fchmodat(directory: number, path: PathLike, mode: number): void {
  if (path.length === 0) callFchmod(undefined, directory, mode);
  else callFchmodat(path, directory, cPath(path, "fchmodat"), mode, atSymlinkNoFollow);
}

/** Sets the modification time, in nanoseconds since 1970, and the access time to the same. */
export function setMtime(directory: number, path: PathLike, mtime: bigint): void {
  const seconds = BigInt.asIntN(64, mtime) / 1_000_000_000n - (mtime % 1_000_000_000n < 0n ? 1n : 0n);
  const times = Buffer.alloc(32);
  for (const at of [0, 16]) {
    times.writeBigInt64LE(seconds, at);
    times.writeBigInt64LE(mtime - seconds * 1_000_000_000n, at + 8);
  }
  if (path.length === 0) callFutimens(undefined, directory, times);
  else callUtimensat(path, directory, cPath(path, "utimensat"), times, atSymlinkNoFollow);
}

const callSyncfs = systemCall("syncfs", "int syncfs(int fd)");

/** Writes out everything cached of the file system that holds the descriptor. */
export function syncfs(descriptor: number): void {
  callSyncfs(undefined, descriptor);
}

const callFstatfs = systemCall("fstatfs", "int fstatfs(int fd, void *buffer)");

/** Magic number of the file system that holds the descriptor, as in statfs(2): 0xef53 for ext4. */
export function fileSystemType(descriptor: number): number {
  const buffer = Buffer.alloc(256);
  callFstatfs(undefined, descriptor, buffer);
  return Number(BigInt.asUintN(32, buffer.readBigInt64LE(0)));
}

/** Begins of file systems whose files have no lasting content: what the kernel shows of itself. */
export const apiFileSystems: Readonly<Record<string, number>> = {
  proc: 0x9fa0,
  sysfs: 0x6265_6572,
  cgroup: 0x27e0eb,
  cgroup2: 0x6367_7270,
  debugfs: 0x6462_6720,
  tracefs: 0x7472_6163,
  securityfs: 0x7363_6673,
  selinuxfs: 0xf97c_ff8c,
  smackfs: 0x4341_5d53,
  configfs: 0x6265_6570,
  pstore: 0x6165_676c,
  efivarfs: 0xde5e_81e4,
  bpf: 0xcafe_4a11,
  devpts: 0x1cd1,
  mqueue: 0x1980_0202,
  fusectl: 0x6573_5543,
  binfmt_misc: 0x4249_4e4d,
  rpc_pipefs: 0x6759_6969,
  nsfs: 0x6e73_6673,
  autofs: 0x0187,
};

const callSeek = foreign("int64_t lseek(int fd, int64_t offset, int whence)");
const enxio = 6;

/**
 * Where the next data (or hole) at or behind `offset` begins; undefined when there is no more data.
 * @param what "data" or "hole"; the end of a file counts as a hole
 */
export function seekData(descriptor: number, offset: number, what: "data" | "hole"): number | undefined {
  const result = callSeek(descriptor, offset, what === "data" ? 3 : 4);
  if (result !== -1) return result;
  const errno = lastErrno();
  if (errno === enxio) return undefined;
  throw new SystemCallError(errno, "lseek");
}

function flagsFor(path: PathLike): number {
  return path.length === 0 ? atEmptyPath | atSymlinkNoFollow : atSymlinkNoFollow;
}
