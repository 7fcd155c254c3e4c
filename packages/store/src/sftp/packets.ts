/**
 * The packets of the SSH File Transfer Protocol, version 3 (draft-ietf-secsh-filexfer-02), with OpenSSH's
 * extensions: what a client sends and is answered. Integers are big-endian.
 * @module
 */
import { FormatError } from "@imgtool/core";

export const packetType = {
  init: 1,
  version: 2,
  open: 3,
  close: 4,
  read: 5,
  write: 6,
  lstat: 7,
  fstat: 8,
  setstat: 9,
  opendir: 11,
  readdir: 12,
  remove: 13,
  mkdir: 14,
  rename: 18,
  extended: 200,
  status: 101,
  handle: 102,
  data: 103,
  name: 104,
  attributes: 105,
} as const;

export const statusCode = { ok: 0, endOfFile: 1, noSuchFile: 2, permissionDenied: 3 } as const;

/** How a file is opened. */
export const openMode = { read: 1, write: 2, create: 8, exclusive: 0x20 } as const;

const hasSize = 1;
const hasOwner = 2;
const hasPermissions = 4;
const hasTimes = 8;
const hasExtended = 0x8000_0000;

export interface FileAttributes {
  readonly size: number | undefined;
  /** Type and permission bits. */
  readonly permissions: number | undefined;
  /** Seconds since 1970. */
  readonly mtime: number | undefined;
}

/** Puts a packet's fields together: text and bytes with their length before them. */
export function encodePacket(type: number, ...fields: readonly (number | bigint | string | Uint8Array)[]): Buffer {
  const parts = fields.map((field) => {
    if (typeof field === "number") {
      const word = Buffer.alloc(4);
      word.writeUInt32BE(field);
      return word;
    }
    if (typeof field === "bigint") {
      const word = Buffer.alloc(8);
      word.writeBigUInt64BE(field);
      return word;
    }
    const bytes = typeof field === "string" ? Buffer.from(field, "utf8") : field;
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  });
  const head = Buffer.alloc(5);
  head.writeUInt32BE(1 + parts.reduce((sum, part) => sum + part.length, 0));
  head.writeUInt8(type, 4);
  return Buffer.concat([head, ...parts]);
}

/** Reads the fields of a packet, which is the server's word. */
export class PacketReader {
  readonly type: number;
  readonly #bytes: Buffer;
  #at = 1;

  /** @param bytes from the type on */
  constructor(bytes: Buffer) {
    this.type = bytes[0] ?? 0;
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  number(): number {
    return this.#take(4).readUInt32BE(0);
  }

  bytes(): Buffer {
    return this.#take(this.number());
  }

  /** The bytes that come next, which are still to be read. */
  peekBytes(): Buffer {
    const at = this.#at;
    const bytes = this.bytes();
    this.#at = at;
    return bytes;
  }

  text(): string {
    return this.bytes().toString("utf8");
  }

  attributes(): FileAttributes {
    const flags = this.number();
    const size = (flags & hasSize) === 0 ? undefined : Number(this.#take(8).readBigUInt64BE(0));
    if ((flags & hasOwner) !== 0) this.#take(8);
    const permissions = (flags & hasPermissions) === 0 ? undefined : this.number();
    const mtime = (flags & hasTimes) === 0 ? undefined : this.#take(8).readUInt32BE(4);
    if ((flags & hasExtended) !== 0)
      for (let count = this.number(); count > 0; count--) {
        this.bytes();
        this.bytes();
      }
    return { size, permissions, mtime };
  }

  #take(length: number): Buffer {
    const part = this.#bytes.subarray(this.#at, this.#at + length);
    if (part.length < length) {
      throw new FormatError("an sftp packet ends within a field", {
        code: "sftp-packet",
        data: { expected: length, found: part.length },
      });
    }
    this.#at += length;
    return part;
  }
}

/** Attributes of SETSTAT that change nothing but the times. */
export function timesAttributes(seconds: number): readonly number[] {
  return [hasTimes, seconds, seconds];
}

/** Attributes of OPEN and MKDIR: permission bits. */
export function modeAttributes(mode: number): readonly number[] {
  return [hasPermissions, mode];
}
