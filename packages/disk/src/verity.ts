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

/** Bytes of a data or hash block, where nothing else is asked for. */
export const verityBlockSize = 4096;

/** Bytes of the blocks: powers of two from 512 to 4096. */
export interface VerityBlockSizes {
  readonly data: number;
  readonly hash: number;
}

export const verityBlockSizes: VerityBlockSizes = { data: verityBlockSize, hash: verityBlockSize };
/** Bytes of a SHA-256 digest. */
export const verityDigestSize = 32;
const signature = "verity\0\0";

/** SHA-256 of the bytes given: salt and block already joined. */
export type HashFunction = (bytes: Uint8Array) => Uint8Array;

export interface VeritySuperblock {
  readonly uuid: string;
  /** Up to 256 bytes. */
  readonly salt: Uint8Array;
  /** Number of data blocks. */
  readonly dataBlocks: number;
  /** Default: 4096 bytes. */
  readonly blockSizes?: VerityBlockSizes;
}

/** The hash block that begin a hash partition. */
export function encodeVeritySuperblock(superblock: VeritySuperblock): Uint8Array<ArrayBuffer> {
  if (superblock.salt.length > 256) throw new RangeError(`a salt has at most 256 bytes, not ${superblock.salt.length}`);
  const { blockSizes = verityBlockSizes } = superblock;
  const bytes = new Uint8Array(blockSizes.hash);
  const view = new DataView(bytes.buffer);
  const text = new TextEncoder();
  bytes.set(text.encode(signature));
  view.setUint32(8, 1, true);
  view.setUint32(12, 1, true);
  bytes.set(parseUuid(superblock.uuid), 16);
  bytes.set(text.encode("sha256"), 32);
  view.setUint32(64, blockSizes.data, true);
  view.setUint32(68, blockSizes.hash, true);
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
  const blockSizes = { data: view.getUint32(64, true), hash: view.getUint32(68, true) };
  for (const [name, size] of Object.entries(blockSizes))
    if (![512, 1024, 2048, 4096].includes(size)) refuse(`${name} block size`, "512, 1024, 2048 or 4096", size);
  const dataBlocks = Number(view.getBigUint64(72, true));
  const saltSize = view.getUint16(80, true);
  if (saltSize > 256) refuse("salt size", "at most 256", saltSize);
  if (!Number.isSafeInteger(dataBlocks * blockSizes.data)) refuse("data blocks", "at most 2^41", dataBlocks);
  return {
    uuid: formatUuid(bytes.subarray(16, 32)),
    salt: Uint8Array.from(bytes.subarray(88, 88 + saltSize)),
    dataBlocks,
    blockSizes,
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

/** The shape of the hash tree over so many data blocks, with hash blocks of so many bytes. */
export function verityLayout(dataBlocks: number, hashBlockSize: number = verityBlockSize): VerityLayout {
  if (!Number.isSafeInteger(dataBlocks) || dataBlocks < 1)
    throw new RangeError(`a hash tree needs at least one data block, not ${dataBlocks}`);
  const counts: number[] = [];
  let blocks = dataBlocks;
  // One data block still gets a level: its root hash is the digest of a hash block only when there are more.
  while (blocks > 1) {
    blocks = Math.ceil(blocks / (hashBlockSize / verityDigestSize));
    counts.push(blocks);
  }
  let offset = hashBlockSize;
  const levels: VerityLevel[] = Array.from({ length: counts.length });
  for (let level = counts.length - 1; level >= 0; level--) {
    const blocks = counts[level] ?? 0;
    levels[level] = { blocks, offset };
    offset += blocks * hashBlockSize;
  }
  return { levels, size: offset };
}

/** Where finished hash blocks go: called in ascending order within a level, not across levels. */
export type VerityWrite = (offset: number, bytes: Uint8Array<ArrayBuffer>) => void;

export interface VerityTreeOptions {
  readonly dataBlocks: number;
  readonly salt: Uint8Array;
  readonly write: VerityWrite;
  /** Default: 4096 bytes. */
  readonly blockSizes?: VerityBlockSizes;
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
  readonly #sizes: VerityBlockSizes;
  readonly #saltedData: Uint8Array<ArrayBuffer>;
  readonly #saltedHash: Uint8Array<ArrayBuffer>;
  readonly #levels: { block: Uint8Array<ArrayBuffer>; used: number; written: number }[];
  #seen = 0;
  #root: Uint8Array | undefined;

  constructor(options: VerityTreeOptions) {
    this.#options = options;
    this.#hash = options.hash ?? sha256;
    this.#sizes = options.blockSizes ?? verityBlockSizes;
    const { data, hash } = this.#sizes;
    this.#saltedData = new Uint8Array(options.salt.length + data);
    this.#saltedHash = new Uint8Array(options.salt.length + hash);
    for (const salted of [this.#saltedData, this.#saltedHash]) salted.set(options.salt);
    this.layout = verityLayout(options.dataBlocks, hash);
    this.#levels = this.layout.levels.map(() => ({ block: new Uint8Array(hash), used: 0, written: 0 }));
  }

  /** `salted` begins with the salt. */
  #digest(block: Uint8Array, salted: Uint8Array<ArrayBuffer>): Uint8Array {
    salted.set(block, this.#options.salt.length);
    return this.#hash(salted);
  }

  /** Adds whole data blocks. */
  update(data: Uint8Array): void {
    const size = this.#sizes.data;
    if (data.length % size !== 0)
      throw new RangeError(`data comes in blocks of ${size} bytes, not ${data.length} bytes`);
    for (let at = 0; at < data.length; at += size)
      this.updateDigests(this.#digest(data.subarray(at, at + size), this.#saltedData));
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
    if (state.used === this.#sizes.hash) this.#close(level);
  }

  #close(level: number): void {
    const state = this.#levels[level];
    const place = this.layout.levels[level];
    if (state === undefined || place === undefined || state.used === 0) return;
    this.#options.write(place.offset + state.written * this.#sizes.hash, state.block.slice());
    state.written++;
    const digest = this.#digest(state.block, this.#saltedHash);
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
