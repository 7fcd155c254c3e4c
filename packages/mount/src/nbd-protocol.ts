/**
 * The messages of the Network Block Device protocol that a read-only server needs: fixed newstyle
 * negotiation, simple and structured replies, block status. After doc/proto.md of the NBD project; all
 * integers are big-endian.
 * @module
 */

const requestMagic = 0x2560_9513;
const simpleMagic = 0x6744_6698;
const structuredMagic = 0x668e_33ef;
const optionMagic = Buffer.from("IHAVEOPT", "latin1");
const replyMagic = 0x3_e889_0455_65a9n;

/** Bytes of an option's header and of a request, as a client sends them. */
export const optionHeaderSize = 16;
export const requestSize = 28;
/** Bytes that an option may carry: names have up to 4096. */
export const largestOption: number = 64 * 1024;
/** Bytes that a client may read at once; the protocol's advice. */
export const largestRead: number = 32 * 1024 ** 2;

export const option = {
  exportName: 1,
  abort: 2,
  list: 3,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
} as const;

export const answer = {
  acknowledge: 1,
  server: 2,
  info: 3,
  metaContext: 4,
  unsupported: 0x8000_0001,
  invalid: 0x8000_0003,
  unknown: 0x8000_0006,
  tooBig: 0x8000_0009,
} as const;

export const command = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  cache: 5,
  writeZeroes: 6,
  blockStatus: 7,
} as const;

/** Linux's numbers, whatever the host's are. */
export const failure = { notPermitted: 1, io: 5, invalid: 22, unsupported: 95, shutdown: 108 } as const;

const flagFixedNewstyle = 1;
const flagNoZeroes = 2;
/** Has flags, read-only, honours "do not fragment", several connections see the same, can read ahead. */
const exportFlags: number = 1 | 2 | 128 | 256 | 1024;
const infoExport = 0;
const infoBlockSize = 3;

/** The one kind of block status that there is here, and the number that it goes by. */
export const allocation = { name: "base:allocation", id: 1 } as const;
const [stateHole, stateZero] = [1, 2];

const replyDone = 1;
const [replyNone, replyData, replyHole, replyStatus, replyError] = [0, 1, 2, 5, 0x8001];

/** What a server says first. */
export function greeting(): Buffer {
  return Buffer.concat([Buffer.from("NBDMAGIC", "latin1"), optionMagic, u16(flagFixedNewstyle | flagNoZeroes)]);
}

/** What a client's flags mean; undefined for those that this server does not speak. */
export function parseClientFlags(bytes: Buffer): { readonly noZeroes: boolean } | undefined {
  const flags = bytes.readUInt32BE(0);
  if ((flags & flagFixedNewstyle) === 0 || (flags & ~(flagFixedNewstyle | flagNoZeroes)) !== 0) return undefined;
  return { noZeroes: (flags & flagNoZeroes) !== 0 };
}

/** Number and length of an option; undefined for bytes that are none. */
export function parseOptionHeader(bytes: Buffer): { readonly number: number; readonly length: number } | undefined {
  if (!bytes.subarray(0, 8).equals(optionMagic)) return undefined;
  return { number: bytes.readUInt32BE(8), length: bytes.readUInt32BE(12) };
}

/** The name of the export that INFO and GO ask for; undefined when the option's bytes are not in order. */
export function parseInfoRequest(data: Buffer): string | undefined {
  if (data.length < 6) return undefined;
  const length = data.readUInt32BE(0);
  if (length > data.length - 6) return undefined;
  const count = data.readUInt16BE(4 + length);
  return data.length === 6 + length + 2 * count ? data.toString("utf8", 4, 4 + length) : undefined;
}

/** The export's name and the queries of the options about block status. */
export function parseMetaContexts(
  data: Buffer,
): { readonly name: string; readonly queries: readonly string[] } | undefined {
  let at = 0;
  const text = (): string | undefined => {
    if (at + 4 > data.length) return undefined;
    const length = data.readUInt32BE(at);
    at += 4 + length;
    return at > data.length ? undefined : data.toString("utf8", at - length, at);
  };
  const name = text();
  if (name === undefined || at + 4 > data.length) return undefined;
  const count = data.readUInt32BE(at);
  at += 4;
  const queries: string[] = [];
  for (let i = 0; i < count; i++) {
    const query = text();
    if (query === undefined) return undefined;
    queries.push(query);
  }
  return at === data.length ? { name, queries } : undefined;
}

/** An answer to an option. */
export function encodeAnswer(number: number, type: number, data: Uint8Array = new Uint8Array(0)): Buffer {
  const head = Buffer.alloc(20);
  head.writeBigUInt64BE(replyMagic, 0);
  head.writeUInt32BE(number, 8);
  head.writeUInt32BE(type, 12);
  head.writeUInt32BE(data.length, 16);
  return Buffer.concat([head, data]);
}

/** Length-prefixed text, as LIST answers. */
export function encodeName(name: string): Buffer {
  const bytes = Buffer.from(name, "utf8");
  return Buffer.concat([u32(bytes.length), bytes]);
}

/** What EXPORT_NAME is answered with; there is no way to refuse. */
export function encodeExport(size: number, noZeroes: boolean): Buffer {
  return Buffer.concat([u64(size), u16(exportFlags), Buffer.alloc(noZeroes ? 0 : 124)]);
}

/** What INFO and GO are told of an export: its size and flags, and what sizes of reads are good. */
export function encodeInfos(size: number): readonly Buffer[] {
  return [
    Buffer.concat([u16(infoExport), u64(size), u16(exportFlags)]),
    Buffer.concat([u16(infoBlockSize), u32(1), u32(64 * 1024), u32(largestRead)]),
  ];
}

export function encodeMetaContext(id: number): Buffer {
  return Buffer.concat([u32(id), Buffer.from(allocation.name, "latin1")]);
}

export interface Request {
  readonly flags: number;
  readonly type: number;
  /** Goes back as it came. */
  readonly cookie: Buffer;
  readonly offset: bigint;
  readonly length: number;
}

/** Request flags: an answer in one piece; the first extent only. */
export const flagWhole = 4;
export const flagOneExtent = 8;

/** A request; undefined for bytes that are none, behind which nothing makes sense. */
export function parseRequest(bytes: Buffer): Request | undefined {
  if (bytes.readUInt32BE(0) !== requestMagic) return undefined;
  return {
    flags: bytes.readUInt16BE(4),
    type: bytes.readUInt16BE(6),
    cookie: Buffer.from(bytes.subarray(8, 16)),
    offset: bytes.readBigUInt64BE(16),
    length: bytes.readUInt32BE(24),
  };
}

export function simpleReply(cookie: Buffer, error: number): Buffer {
  return Buffer.concat([u32(simpleMagic), u32(error), cookie]);
}

function structured(cookie: Buffer, flags: number, type: number, ...data: readonly Uint8Array[]): Buffer {
  const length = data.reduce((sum, one) => sum + one.length, 0);
  return Buffer.concat([u32(structuredMagic), u16(flags), u16(type), cookie, u32(length), ...data]);
}

export function dataReply(cookie: Buffer, offset: number, bytes: Uint8Array, isLast: boolean): Buffer {
  return structured(cookie, isLast ? replyDone : 0, replyData, u64(offset), bytes);
}

export function holeReply(cookie: Buffer, offset: number, length: number, isLast: boolean): Buffer {
  return structured(cookie, isLast ? replyDone : 0, replyHole, u64(offset), u32(length));
}

export function statusReply(
  cookie: Buffer,
  extents: Iterable<{ readonly length: number; readonly isZero: boolean }>,
): Buffer {
  const words = [...extents].map(({ length, isZero }) =>
    Buffer.concat([u32(length), u32(isZero ? stateHole | stateZero : 0)]),
  );
  return structured(cookie, replyDone, replyStatus, u32(allocation.id), ...words);
}

export function doneReply(cookie: Buffer): Buffer {
  return structured(cookie, replyDone, replyNone);
}

export function errorReply(cookie: Buffer, error: number, message: string): Buffer {
  const text = Buffer.from(message, "utf8").subarray(0, 4096);
  return structured(cookie, replyDone, replyError, u32(error), u16(text.length), text);
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}
function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}
