/**
 * The messages of the kernel's FUSE protocol that a read-only file system needs, after linux/fuse.h
 * (interface 7.31 and later). Integers have the byte order of the machine, which is little-endian on all
 * that Node.js runs on.
 * @module
 */

export const opcode = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  readlink: 5,
  open: 14,
  read: 15,
  statfs: 17,
  release: 18,
  getxattr: 22,
  listxattr: 23,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  interrupt: 36,
  destroy: 38,
  batchForget: 42,
  readdirplus: 44,
} as const;

/** Errors that are answered. */
export const errno = { notThere: 2, io: 5, range: 34, noSystemCall: 38, noData: 61, notSupported: 95 } as const;

/** Bytes of a request's head, and memory for the longest one: the kernel wants at least 8 KiB. */
const headSize = 40;
export const requestSize: number = 64 * 1024;
/** The root directory's number. */
export const rootNode = 1;

/** Files and directories are opened without asking. */
export const noOpen: number = 1 << 17;
export const noOpenDirectory: number = 1 << 24;
/**
 * Asynchronous reads; attributes with the names of a directory, where they were wanted before; lookups and
 * reads of a directory at once; large reads; links kept.
 */
const wantedFlags: number =
  (1 << 0) | (1 << 13) | (1 << 14) | noOpen | (1 << 18) | (1 << 22) | (1 << 23) | noOpenDirectory;
/** Access control lists that the kernel understands, which makes it check all permissions. */
const posixAcl: number = 1 << 20;
const keepCache = 2;
/** Pages of a request: 1 MiB. */
const [largestPages, readAhead] = [256, 1024 * 1024];
/** Seconds that the kernel may believe an answer: an archive never changes. */
const forever = 1_000_000n;

export interface FuseRequest {
  readonly opcode: number;
  readonly unique: bigint;
  readonly node: number;
  /** What comes behind the head. */
  readonly body: Buffer;
}

/** A request as the kernel wrote it. */
export function parseRequest(bytes: Buffer): FuseRequest {
  return {
    opcode: bytes.readUInt32LE(4),
    unique: bytes.readBigUInt64LE(8),
    node: parseNode(bytes, 16),
    body: Buffer.from(bytes.subarray(headSize, bytes.readUInt32LE(0))),
  };
}

/** The number of a node: an offset in an archive, which a number holds. */
export function parseNode(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 2 ** 32;
}

function writeNode(bytes: Buffer, node: number, at: number): void {
  bytes.writeUInt32LE(node % 2 ** 32, at);
  bytes.writeUInt32LE(Math.floor(node / 2 ** 32), at + 4);
}

/** The head of the answer to a request: an error, or so many bytes to come. */
export function encodeReplyHead(unique: bigint, error: number, length: number): Buffer {
  const head = Buffer.allocUnsafe(16);
  head.writeUInt32LE(head.length + length, 0);
  head.writeInt32LE(-error, 4);
  head.writeBigUInt64LE(unique, 8);
  return head;
}

/** Which of the flags that INIT offers are taken. */
export function chosenFlags(body: Buffer, checksPermissions: boolean): number {
  return body.readUInt32LE(12) & (wantedFlags | (checksPermissions ? posixAcl : 0));
}

/** What INIT is answered: the interface that both speak, and what of it is used. */
export function encodeInit(body: Buffer, flags: number): Buffer {
  const minor = body.readUInt32LE(4);
  const reply = Buffer.alloc(64);
  reply.writeUInt32LE(7, 0);
  reply.writeUInt32LE(Math.min(minor, 31), 4);
  reply.writeUInt32LE(Math.min(body.readUInt32LE(8), readAhead), 8);
  reply.writeUInt32LE(flags >>> 0, 12);
  reply.writeUInt16LE(32, 16);
  reply.writeUInt16LE(24, 18);
  // never written, and never 0
  reply.writeUInt32LE(4096, 20);
  // times have nanoseconds
  reply.writeUInt32LE(1, 24);
  reply.writeUInt16LE(largestPages, 28);
  return reply;
}

/** What the kernel is told of a node. */
export interface FuseAttributes {
  readonly node: number;
  readonly mode: number;
  readonly size: number;
  readonly uid: number;
  readonly gid: number;
  /** Nanoseconds since 1970. */
  readonly mtime: bigint;
  readonly links: number;
  readonly major: number;
  readonly minor: number;
}

const [attributesSize, entrySize] = [88, 128];

function writeAttributes(bytes: Buffer, at: number, of: FuseAttributes): void {
  const seconds = BigInt.asIntN(64, of.mtime) / 1_000_000_000n - (of.mtime % 1_000_000_000n < 0n ? 1n : 0n);
  const nanoseconds = Number(of.mtime - seconds * 1_000_000_000n);
  bytes.fill(0, at, at + attributesSize);
  writeNode(bytes, of.node, at);
  bytes.writeBigUInt64LE(BigInt(of.size), at + 8);
  bytes.writeBigUInt64LE(BigInt(Math.ceil(of.size / 512)), at + 16);
  for (const time of [24, 32, 40]) bytes.writeBigInt64LE(seconds, at + time);
  for (const time of [48, 52, 56]) bytes.writeUInt32LE(nanoseconds, at + time);
  bytes.writeUInt32LE(of.mode, at + 60);
  bytes.writeUInt32LE(of.links, at + 64);
  bytes.writeUInt32LE(of.uid, at + 68);
  bytes.writeUInt32LE(of.gid, at + 72);
  // new_encode_dev() of the kernel
  bytes.writeUInt32LE(((of.minor & 0xff) | (of.major << 8) | ((of.minor & ~0xff) << 12)) >>> 0, at + 76);
  bytes.writeUInt32LE(4096, at + 80);
}

function writeEntry(bytes: Buffer, at: number, attributes: FuseAttributes): void {
  bytes.fill(0, at, at + entrySize - attributesSize);
  writeNode(bytes, attributes.node, at);
  bytes.writeBigUInt64LE(forever, at + 16);
  bytes.writeBigUInt64LE(forever, at + 24);
  writeAttributes(bytes, at + entrySize - attributesSize, attributes);
}

/** What LOOKUP is answered. */
export function encodeEntry(attributes: FuseAttributes): Buffer {
  const bytes = Buffer.allocUnsafe(entrySize);
  writeEntry(bytes, 0, attributes);
  return bytes;
}

/** What GETATTR is answered. */
export function encodeAttributes(attributes: FuseAttributes): Buffer {
  const bytes = Buffer.alloc(16 + attributesSize);
  bytes.writeBigUInt64LE(forever, 0);
  writeAttributes(bytes, 16, attributes);
  return bytes;
}

/** What OPEN is answered where the kernel asks: it may keep what it has read. */
export function encodeOpen(): Buffer {
  const reply = Buffer.alloc(16);
  reply.writeUInt32LE(keepCache, 8);
  return reply;
}

/** Offset and length of READ and READDIR. */
export function parseRead(body: Buffer): { readonly offset: number; readonly length: number } {
  return { offset: Number(body.readBigUInt64LE(8)), length: body.readUInt32LE(16) };
}

/** A name for READDIR or READDIRPLUS. */
export interface DirectoryEntry {
  readonly name: Uint8Array;
  readonly node: number;
  /** As getdents(2) tells it. */
  readonly type: number;
  /** For READDIRPLUS; the directory itself and the one above go without, and are not counted as looked up. */
  readonly attributes?: FuseAttributes;
}

/** What READDIR or READDIRPLUS is answered: as many names as fit. */
export class DirectoryReply {
  readonly #bytes: Buffer;
  readonly #isPlus: boolean;
  #length = 0;

  constructor(length: number, isPlus: boolean) {
    this.#bytes = Buffer.allocUnsafe(length);
    this.#isPlus = isPlus;
  }

  /** @param next position of the name behind this one; false when it does not fit */
  add({ name, node, type, attributes }: DirectoryEntry, next: number): boolean {
    const bytes = this.#bytes;
    const head = this.#isPlus ? entrySize : 0;
    const size = head + Math.ceil((24 + name.length) / 8) * 8;
    let at = this.#length;
    if (at + size > bytes.length) return false;
    if (!this.#isPlus || attributes === undefined) bytes.fill(0, at, at + head);
    else writeEntry(bytes, at, attributes);
    at += head;
    writeNode(bytes, node, at);
    writeNode(bytes, next, at + 8);
    bytes.writeUInt32LE(name.length, at + 16);
    bytes.writeUInt32LE(type, at + 20);
    bytes.set(name, at + 24);
    this.#length += size;
    bytes.fill(0, at + 24 + name.length, this.#length);
    return true;
  }

  /** What fitted. */
  bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }
}

/** STATFS: so many bytes, none of them free. */
export function encodeStatistics(bytes: number): Buffer {
  const reply = Buffer.alloc(80);
  reply.writeBigUInt64LE(BigInt(Math.ceil(bytes / 4096)), 0);
  reply.writeUInt32LE(4096, 40);
  reply.writeUInt32LE(255, 44);
  reply.writeUInt32LE(4096, 48);
  return reply;
}

/** The answer to GETXATTR and LISTXATTR: the value, or its length where that is asked for. */
export function answerXattr(
  body: Buffer,
  value: Uint8Array,
): { readonly error: number } | { readonly pieces: readonly Uint8Array[] } {
  const wanted = body.readUInt32LE(0);
  if (wanted === 0) {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32LE(value.length, 0);
    return { pieces: [bytes] };
  }
  return value.length > wanted ? { error: errno.range } : { pieces: [value] };
}

/** A name that ends with NUL, from an offset on. */
export function parseName(body: Buffer, from = 0): Buffer {
  const end = body.indexOf(0, from);
  return body.subarray(from, end < 0 ? body.length : end);
}
