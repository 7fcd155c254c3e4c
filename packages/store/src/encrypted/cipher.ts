/**
 * How chunks and indexes are encrypted: format and reasons in docs/encrypted-stores.md.
 *
 * Integers are little-endian. A header of 72 bytes: magic (7), version (1), key id (16), stored name (32),
 * nonce (12), length of the ciphertext (u32). Then the ciphertext, and its tag (16). AES-256-GCM; the
 * header is the associated data. Inside: kind (u8), length (u32), so many bytes, zeros up to the end.
 *
 * Synchronous, and without drivers: threads encrypt what they compress.
 * @module
 */
import { createCipheriv, createDecipheriv, createHmac, createSecretKey, type KeyObject } from "node:crypto";
import { fromHex } from "@imgtool/core";
import { checkChunkName } from "../chunk-path.ts";
import type { ChunkName, StoredChunk } from "../store.ts";
import { deriveBytes, type StoreKey } from "./key.ts";
import { paddedLength } from "./padding.ts";
import { badContent, notAuthentic, notEncrypted, otherKey, otherName, unknownVersion, wrongLength } from "./errors.ts";

/** What an encrypted chunk begins with, and an encrypted index; the version follows. */
const chunkMagic: Uint8Array = Buffer.from("ITchunk", "latin1");
const indexMagic: Uint8Array = Buffer.from("ITindex", "latin1");
const version = 1;

const [keyIdAt, nameAt, nonceAt, lengthAt, headerBytes] = [8, 24, 56, 68, 72] as const;
const [nonceBytes, tagBytes, leadBytes] = [12, 16, 5] as const;
/** An index has no name in a store. */
const noName = "0".repeat(64);

const [kindPlain, kindCompressed] = [0, 1] as const;
const zeros: Uint8Array = new Uint8Array(64 * 1024);

/** Most bytes that something of `bytes` can take up encrypted, however it is padded. */
export function maxSealedBytes(bytes: number): number {
  return headerBytes + paddedLength(bytes + leadBytes, "buckets") + tagBytes;
}

/** Whether bytes begin as an encrypted chunk does. */
export function isSealedChunk(bytes: Uint8Array): boolean {
  return beginsWith(bytes, chunkMagic);
}

/** Whether bytes begin as an encrypted index does. */
export function isSealedIndex(bytes: Uint8Array): boolean {
  return beginsWith(bytes, indexMagic);
}

function beginsWith(bytes: Uint8Array, magic: Uint8Array): boolean {
  return bytes.length > magic.length && Buffer.compare(bytes.subarray(0, magic.length), magic) === 0;
}

/** What errors say about where bytes come from. */
export interface SealedPlace {
  /** "chunk 0123… in the store http://…", "the index x.caibx". */
  readonly what: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Encrypts and decrypts with one key. */
export class StoreCipher {
  readonly key: StoreKey;
  readonly #id: Uint8Array;
  readonly #names: KeyObject;
  readonly #chunks: KeyObject;
  readonly #indexes: KeyObject;
  readonly #nonces: KeyObject;
  #memory: Buffer = Buffer.alloc(0);
  /** The name that was asked for last: writers ask two or three times. */
  #last: readonly [ChunkName | undefined, ChunkName] = [undefined, ""];

  constructor(key: StoreKey) {
    const subkey = (purpose: string): KeyObject => createSecretKey(deriveBytes(key.secret, purpose));
    this.key = key;
    this.#id = fromHex(key.id);
    this.#names = subkey("names");
    this.#chunks = subkey("chunks");
    this.#indexes = subkey("indexes");
    this.#nonces = subkey("nonces");
  }

  /**
   * The name under which a store has a chunk.
   * @param name of the chunk: the digest of its plain bytes
   * @throws FormatError `chunk-name-invalid`
   */
  storedName(name: ChunkName): ChunkName {
    if (this.#last[0] === name) return this.#last[1];
    checkChunkName(name);
    const stored = createHmac("sha256", this.#names).update(name, "hex").digest("hex");
    this.#last = [name, stored];
    return stored;
  }

  /** Length of a chunk of `bytes` that a writer with this key has encrypted. */
  sealedBytes(bytes: number): number {
    return headerBytes + paddedLength(bytes + leadBytes, this.key.padding) + tagBytes;
  }

  /** What a store gets of a chunk. @param stored its name there */
  sealChunk(stored: ChunkName, { bytes, compressed }: StoredChunk): Uint8Array {
    return this.#seal(chunkMagic, this.#chunks, stored, compressed ? kindCompressed : kindPlain, bytes, newMemory);
  }

  /** As sealChunk(), in memory that the next call uses again. */
  borrowSealed(stored: ChunkName, { bytes, compressed }: StoredChunk): Uint8Array {
    const reuse = (length: number): Buffer => {
      if (this.#memory.length < length) this.#memory = newMemory(2 * length);
      return this.#memory.subarray(0, length);
    };
    return this.#seal(chunkMagic, this.#chunks, stored, compressed ? kindCompressed : kindPlain, bytes, reuse);
  }

  /**
   * The chunk in a store's bytes: authentic, and still to be verified against its digest.
   * @param stored its name there
   * @throws IntegrityError `chunk-not-encrypted`, `store-key-wrong`, `chunk-swapped`, `chunk-truncated`,
   *   `chunk-not-authentic`; FormatError `encryption-version-unknown`
   */
  openChunk(stored: ChunkName, bytes: Uint8Array, place: SealedPlace): StoredChunk {
    const { kind, content } = this.#open(chunkMagic, this.#chunks, stored, bytes, place);
    return { bytes: content, compressed: kind === kindCompressed };
  }

  /** openChunk() of a store's answer, which must be a compressed chunk's file. @throws as openChunk() */
  openStored(stored: ChunkName, found: StoredChunk, place: SealedPlace): StoredChunk {
    if (!found.compressed) throw notEncrypted(place, found.bytes);
    return this.openChunk(stored, found.bytes, place);
  }

  sealIndex(bytes: Uint8Array): Uint8Array {
    return this.#seal(indexMagic, this.#indexes, noName, kindPlain, bytes, newMemory);
  }

  /** @throws as openChunk(), with `index-` in the place of `chunk-` */
  openIndex(bytes: Uint8Array, place: SealedPlace): Uint8Array {
    return this.#open(indexMagic, this.#indexes, noName, bytes, place).content;
  }

  #seal(
    magic: Uint8Array,
    keys: KeyObject,
    name: string,
    kind: number,
    bytes: Uint8Array,
    allocate: (length: number) => Buffer,
  ): Uint8Array {
    const length = paddedLength(leadBytes + bytes.length, this.key.padding);
    const header = Buffer.alloc(headerBytes);
    header.set(magic);
    header[magic.length] = version;
    header.set(this.#id, keyIdAt);
    header.write(name, nameAt, "hex");
    header.writeUInt32LE(length, lengthAt);
    const lead = Buffer.alloc(leadBytes);
    lead[0] = kind;
    lead.writeUInt32LE(bytes.length, 1);
    // The nonce is a function of all that is encrypted: equal bytes under equal names give an equal file,
    // other bytes (another level of compression) another nonce. The header has zeros in its place yet.
    const nonce = createHmac("sha256", this.#nonces).update(header).update(lead).update(bytes).digest();
    nonce.copy(header, nonceAt, 0, nonceBytes);
    const cipher = createCipheriv("aes-256-gcm", keyOfName(keys, name), nonce.subarray(0, nonceBytes), {
      authTagLength: tagBytes,
    });
    cipher.setAAD(header);
    const sealed = allocate(headerBytes + length + tagBytes);
    let at = header.copy(sealed);
    const encrypt = (part: Uint8Array): void => void (at += cipher.update(part).copy(sealed, at));
    encrypt(lead);
    encrypt(bytes);
    for (let left = length - leadBytes - bytes.length; left > 0; left -= zeros.length)
      encrypt(zeros.subarray(0, Math.min(left, zeros.length)));
    cipher.final();
    cipher.getAuthTag().copy(sealed, at);
    return sealed;
  }

  #open(
    magic: Uint8Array,
    keys: KeyObject,
    name: string,
    bytes: Uint8Array,
    place: SealedPlace,
  ): { readonly kind: number; readonly content: Uint8Array } {
    const isBeginning = bytes.length <= magic.length && Buffer.compare(bytes, magic.subarray(0, bytes.length)) === 0;
    if (!isBeginning && !beginsWith(bytes, magic)) throw notEncrypted(place, bytes);
    if (!isBeginning && bytes[magic.length] !== version) throw unknownVersion(place, version, bytes[magic.length] ?? 0);
    const sealed = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    if (sealed.length < headerBytes) throw wrongLength(place, headerBytes + leadBytes + tagBytes, sealed.length);
    const id = sealed.toString("hex", keyIdAt, nameAt);
    if (id !== this.key.id) throw otherKey(place, this.key.id, id);
    const found = sealed.toString("hex", nameAt, nonceAt);
    if (found !== name) throw otherName(place, name, found);
    const length = sealed.readUInt32LE(lengthAt);
    const expected = headerBytes + length + tagBytes;
    if (sealed.length !== expected || length < leadBytes) throw wrongLength(place, expected, sealed.length);
    const nonce = sealed.subarray(nonceAt, nonceAt + nonceBytes);
    const cipher = createDecipheriv("aes-256-gcm", keyOfName(keys, name), nonce, { authTagLength: tagBytes });
    cipher.setAAD(sealed.subarray(0, headerBytes));
    cipher.setAuthTag(sealed.subarray(headerBytes + length));
    const inner = cipher.update(sealed.subarray(headerBytes, headerBytes + length));
    try {
      cipher.final();
    } catch (error) {
      throw notAuthentic(place, error);
    }
    const [kind = 0, size] = [inner[0], inner.readUInt32LE(1)];
    if (kind > kindCompressed || size > inner.length - leadBytes) throw badContent(place, kind, size);
    return { kind, content: inner.subarray(leadBytes, leadBytes + size) };
  }
}

function newMemory(length: number): Buffer {
  return Buffer.allocUnsafeSlow(length);
}

/** A key for each name: nonces of different chunks never meet, however many there are. */
function keyOfName(keys: KeyObject, name: string): Uint8Array {
  return createHmac("sha256", keys).update(name, "hex").digest();
}

/** What errors call a chunk. */
export function chunkPlace(name: ChunkName, stored: ChunkName, location: string): SealedPlace {
  const what = `chunk ${name} in the store ${location} (there ${stored})`;
  return { what, data: { chunk: name, stored, store: location } };
}
