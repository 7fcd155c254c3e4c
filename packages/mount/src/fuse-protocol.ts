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
} as const;

/** Errors that are answered. */
export const errno = { notThere: 2, io: 5, noData: 61, noSystemCall: 38, range: 34, readOnly: 30 } as const;

/** Bytes of a request's head, and the memory that the kernel wants to write one into. */
const headSize = 40;
export const requestSize: number = 256 * 1024;
/** The root directory's number. */
export const rootNode = 1n;

/** Asynchronous reads; reads of directories at once; the list that ACLs are; large reads; links kept. */
const wantedFlags: number = (1 << 0) | (1 << 18) | (1 << 20) | (1 << 22) | (1 << 23);
const keepCache = 2;
/** Pages of a request: 1 MiB. */
const [largestPages, readAhead] = [256, 1024 * 1024];
/** Seconds that the kernel may believe an answer: an archive never changes. */
const forever = 1_000_000n;

export interface FuseRequest {
  readonly opcode: number;
  readonly unique: bigint;
  readonly node: bigint;
  /** What comes behind the head. */
  readonly body: Buffer;
}

/** A request as the kernel wrote it. */
export function parseRequest(bytes: Buffer): FuseRequest {
  return {
    opcode: bytes.readUInt32LE(4),
    unique: bytes.readBigUInt64LE(8),
    node: bytes.readBigUInt64LE(16),
    body: Buffer.from(bytes.subarray(headSize, bytes.readUInt32LE(0))),
  };
}

/** The answer to a request: an error, or bytes. */
export function encodeReply(unique: bigint, error: number, body: Uint8Array = new Uint8Array(0)): Buffer {
  const reply = Buffer.alloc(16 + body.length);
  reply.writeUInt32LE(reply.length, 0);
  reply.writeInt32LE(-error, 4);
  reply.writeBigUInt64LE(unique, 8);
  reply.set(body, 16);
  return reply;
}

/** What INIT is answered: the interface that both speak, and what of it is used. */
export function encodeInit(body: Buffer): Buffer {
  const minor = body.readUInt32LE(4);
  const offered = body.readUInt32LE(12);
  const reply = Buffer.alloc(64);
  reply.writeUInt32LE(7, 0);
  reply.writeUInt32LE(Math.min(minor, 31), 4);
  reply.writeUInt32LE(Math.min(body.readUInt32LE(8), readAhead), 8);
  reply.writeUInt32LE((offered & wantedFlags) >>> 0, 12);
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
  readonly node: bigint;
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

function attributeBytes(of: FuseAttributes): Buffer {
  const bytes = Buffer.alloc(88);
  const seconds = BigInt.asIntN(64, of.mtime) / 1_000_000_000n - (of.mtime % 1_000_000_000n < 0n ? 1n : 0n);
  const nanoseconds = Number(of.mtime - seconds * 1_000_000_000n);
  bytes.writeBigUInt64LE(of.node, 0);
  bytes.writeBigUInt64LE(BigInt(of.size), 8);
  bytes.writeBigUInt64LE(BigInt(Math.ceil(of.size / 512)), 16);
  for (const at of [24, 32, 40]) bytes.writeBigInt64LE(seconds, at);
  for (const at of [48, 52, 56]) bytes.writeUInt32LE(nanoseconds, at);
  bytes.writeUInt32LE(of.mode, 60);
  bytes.writeUInt32LE(of.links, 64);
  bytes.writeUInt32LE(of.uid, 68);
  bytes.writeUInt32LE(of.gid, 72);
  // new_encode_dev() of the kernel
  bytes.writeUInt32LE(((of.minor & 0xff) | (of.major << 8) | ((of.minor & ~0xff) << 12)) >>> 0, 76);
  bytes.writeUInt32LE(4096, 80);
  return bytes;
}

export function encodeEntry(attributes: FuseAttributes): Buffer {
  const head = Buffer.alloc(40);
  head.writeBigUInt64LE(attributes.node, 0);
  head.writeBigUInt64LE(forever, 16);
  head.writeBigUInt64LE(forever, 24);
  return Buffer.concat([head, attributeBytes(attributes)]);
}

export function encodeAttributes(attributes: FuseAttributes): Buffer {
  const head = Buffer.alloc(16);
  head.writeBigUInt64LE(forever, 0);
  return Buffer.concat([head, attributeBytes(attributes)]);
}

/** What OPEN is answered: the kernel may keep what it has read. */
export function encodeOpen(handle: bigint): Buffer {
  const reply = Buffer.alloc(16);
  reply.writeBigUInt64LE(handle, 0);
  reply.writeUInt32LE(keepCache, 8);
  return reply;
}

/** Offset and length of READ and READDIR. */
export function parseRead(body: Buffer): {
  readonly handle: bigint;
  readonly offset: number;
  readonly length: number;
} {
  return {
    handle: body.readBigUInt64LE(0),
    offset: Number(body.readBigUInt64LE(8)),
    length: body.readUInt32LE(16),
  };
}

/** Names of a directory from a position on, as many as fit; each says where the next one is. */
export function encodeDirectory(
  entries: readonly { readonly name: Buffer; readonly node: bigint; readonly type: number }[],
  from: number,
  length: number,
): Buffer {
  const parts: Buffer[] = [];
  let size = 0;
  for (let i = from; i < entries.length; i++) {
    const { name, node, type } = entries[i] as (typeof entries)[number];
    const entry = Buffer.alloc(Math.ceil((24 + name.length) / 8) * 8);
    if (size + entry.length > length) break;
    entry.writeBigUInt64LE(node, 0);
    entry.writeBigUInt64LE(BigInt(i + 1), 8);
    entry.writeUInt32LE(name.length, 16);
    entry.writeUInt32LE(type, 20);
    entry.set(name, 24);
    parts.push(entry);
    size += entry.length;
  }
  return Buffer.concat(parts);
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
export function answerXattr(body: Buffer, value: Uint8Array): { readonly error: number; readonly bytes: Uint8Array } {
  const wanted = body.readUInt32LE(0);
  if (wanted === 0) {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32LE(value.length, 0);
    return { error: 0, bytes };
  }
  return value.length > wanted ? { error: errno.range, bytes: new Uint8Array(0) } : { error: 0, bytes: value };
}

/** A name that ends with NUL, from an offset on. */
export function parseName(body: Buffer, from = 0): Buffer {
  const end = body.indexOf(0, from);
  return body.subarray(from, end < 0 ? body.length : end);
}
