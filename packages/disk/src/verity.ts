/**
 * dm-verity, format version 1 (Documentation/admin-guide/device-mapper/verity.rst and cryptsetup's
 * on-disk format): superblock, the shape of the hash tree, and a streaming builder. Pure; the hash
 * function comes from the caller where speed matters.
 *
 * A digest is H(salt ‖ block). Level 0 has the digests of the data blocks, each further level those of
 * the level before, until one block is left; the root hash is that block's digest. On disk the highest
 * level comes first, after the superblock's own block.
 * @module
 */
import { FormatError, formatUuid, parseUuid } from "@imgtool/core";
import { sha256 } from "@noble/hashes/sha2.js";

/** Bytes of a data or hash block. */
export const verityBlockSize = 4096;
/** Bytes of a SHA-256 digest. */
export const verityDigestSize = 32;
const digestsPerBlock = verityBlockSize / verityDigestSize;
const signature = "verity\0\0";

/** SHA-256 of the bytes given: salt and block already joined. */
export type HashFunction = (bytes: Uint8Array) => Uint8Array;

export interface VeritySuperblock {
  readonly uuid: string;
  /** Up to 256 bytes. */
  readonly salt: Uint8Array;
  /** Number of 4096-byte data blocks. */
  readonly dataBlocks: number;
}

/** The 4096 bytes that begin a hash partition. */
export function encodeVeritySuperblock(superblock: VeritySuperblock): Uint8Array<ArrayBuffer> {
  if (superblock.salt.length > 256) throw new RangeError(`a salt has at most 256 bytes, not ${superblock.salt.length}`);
  const bytes = new Uint8Array(verityBlockSize);
  const view = new DataView(bytes.buffer);
  const text = new TextEncoder();
  bytes.set(text.encode(signature));
  view.setUint32(8, 1, true);
  view.setUint32(12, 1, true);
  bytes.set(parseUuid(superblock.uuid), 16);
  bytes.set(text.encode("sha256"), 32);
  view.setUint32(64, verityBlockSize, true);
  view.setUint32(68, verityBlockSize, true);
  view.setBigUint64(72, BigInt(superblock.dataBlocks), true);
  view.setUint16(80, superblock.salt.length, true);
  bytes.set(superblock.salt, 88);
  return bytes;
}

function refuse(what: string, expected: unknown, found: unknown): never {
  throw new FormatError(`verity superblock: ${what}: expected ${String(expected)}, found ${String(found)}`, {
    code: "verity-invalid",
    data: { expected, found },
  });
}

/**
 * Reads a superblock of the kind imgtool writes.
 * @throws FormatError `verity-invalid` for anything else
 */
export function decodeVeritySuperblock(bytes: Uint8Array): VeritySuperblock {
  if (bytes.length < 512) refuse("bytes", "at least 512", bytes.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const latin = new TextDecoder("latin1");
  const check = (what: string, expected: unknown, found: unknown): void => {
    if (expected !== found) refuse(what, expected, found);
  };
  check("signature", JSON.stringify(signature), JSON.stringify(latin.decode(bytes.subarray(0, 8))));
  check("version", 1, view.getUint32(8, true));
  check("hash type", 1, view.getUint32(12, true));
  check("algorithm", "sha256", latin.decode(bytes.subarray(32, 64)).replace(/\0.*$/s, ""));
  check("data block size", verityBlockSize, view.getUint32(64, true));
  check("hash block size", verityBlockSize, view.getUint32(68, true));
  const dataBlocks = Number(view.getBigUint64(72, true));
  const saltSize = view.getUint16(80, true);
  if (saltSize > 256) refuse("salt size", "at most 256", saltSize);
  if (!Number.isSafeInteger(dataBlocks * verityBlockSize)) refuse("data blocks", "at most 2^41", dataBlocks);
  return {
    uuid: formatUuid(bytes.subarray(16, 32)),
    salt: Uint8Array.from(bytes.subarray(88, 88 + saltSize)),
    dataBlocks,
  };
}

export interface VerityLevel {
  /** Hash blocks of the level. */
  readonly blocks: number;
  /** Where the level begins, in bytes from the start of the hash partition. */
  readonly offset: number;
}

export interface VerityLayout {
  /** Level 0 (digests of data) first. */
  readonly levels: readonly VerityLevel[];
  /** Bytes of superblock and tree. */
  readonly size: number;
}

/** The shape of the hash tree over so many data blocks. */
export function verityLayout(dataBlocks: number): VerityLayout {
  if (!Number.isSafeInteger(dataBlocks) || dataBlocks < 1)
    throw new RangeError(`a hash tree needs at least one data block, not ${dataBlocks}`);
  const counts: number[] = [];
  let blocks = dataBlocks;
  // One data block still gets a level: its root hash is the digest of a hash block only when there are more.
  while (blocks > 1) {
    blocks = Math.ceil(blocks / digestsPerBlock);
    counts.push(blocks);
  }
  let offset = verityBlockSize;
  const levels: VerityLevel[] = Array.from({ length: counts.length });
  for (let level = counts.length - 1; level >= 0; level--) {
    const blocks = counts[level] ?? 0;
    levels[level] = { blocks, offset };
    offset += blocks * verityBlockSize;
  }
  return { levels, size: offset };
}

/** Where finished hash blocks go: called in ascending order within a level, not across levels. */
export type VerityWrite = (offset: number, bytes: Uint8Array<ArrayBuffer>) => void;

export interface VerityTreeOptions {
  readonly dataBlocks: number;
  readonly salt: Uint8Array;
  readonly write: VerityWrite;
  /** Default: SHA-256 of @noble/hashes. */
  readonly hash?: HashFunction;
}

/**
 * Builds the tree from data that comes in order. Holds one block per level. Feed data with `update`,
 * or, where workers have hashed it, digests with `updateDigests`; then `finish`.
 */
export class VerityTree {
  readonly layout: VerityLayout;
  readonly #options: VerityTreeOptions;
  readonly #hash: HashFunction;
  readonly #salted: Uint8Array<ArrayBuffer>;
  readonly #levels: { block: Uint8Array<ArrayBuffer>; used: number; written: number }[];
  #seen = 0;
  #root: Uint8Array | undefined;

  constructor(options: VerityTreeOptions) {
    this.#options = options;
    this.#hash = options.hash ?? sha256;
    this.layout = verityLayout(options.dataBlocks);
    this.#salted = new Uint8Array(options.salt.length + verityBlockSize);
    this.#salted.set(options.salt);
    this.#levels = this.layout.levels.map(() => ({ block: new Uint8Array(verityBlockSize), used: 0, written: 0 }));
  }

  #digest(block: Uint8Array): Uint8Array {
    this.#salted.set(block, this.#options.salt.length);
    return this.#hash(this.#salted);
  }

  /** Adds whole data blocks. */
  update(data: Uint8Array): void {
    if (data.length % verityBlockSize !== 0)
      throw new RangeError(`data comes in blocks of ${verityBlockSize} bytes, not ${data.length} bytes`);
    for (let at = 0; at < data.length; at += verityBlockSize)
      this.updateDigests(this.#digest(data.subarray(at, at + verityBlockSize)));
  }

  /** Adds the digests of the next data blocks. */
  updateDigests(digests: Uint8Array): void {
    this.#seen += digests.length / verityDigestSize;
    if (this.#seen > this.#options.dataBlocks)
      throw new RangeError(`more data than the ${this.#options.dataBlocks} blocks announced`);
    for (let at = 0; at < digests.length; at += verityDigestSize)
      this.#add(0, digests.subarray(at, at + verityDigestSize));
  }

  #add(level: number, digest: Uint8Array): void {
    const state = this.#levels[level];
    if (state === undefined) {
      this.#root = Uint8Array.from(digest);
      return;
    }
    state.block.set(digest, state.used);
    state.used += verityDigestSize;
    if (state.used === verityBlockSize) this.#close(level);
  }

  #close(level: number): void {
    const state = this.#levels[level];
    const place = this.layout.levels[level];
    if (state === undefined || place === undefined || state.used === 0) return;
    this.#options.write(place.offset + state.written * verityBlockSize, state.block.slice());
    state.written++;
    const digest = this.#digest(state.block);
    state.block.fill(0);
    state.used = 0;
    this.#add(level + 1, digest);
  }

  /** Writes what is open and returns the root hash, 32 bytes. */
  finish(): Uint8Array {
    if (this.#seen !== this.#options.dataBlocks)
      throw new RangeError(`${this.#seen} data blocks came, ${this.#options.dataBlocks} were announced`);
    for (let level = 0; level < this.#levels.length; level++) this.#close(level);
    if (this.#root === undefined) throw new RangeError("no data");
    return this.#root;
  }
}
