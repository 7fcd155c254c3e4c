/**
 * The LUKS2 header (LUKS2 On-Disk Format Specification 1.1): a binary header and a JSON area, twice, then
 * the key slots. Pure: bytes in, bytes out.
 * @module
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { concatBytes } from "@imgtool/core";
import type { Region } from "../gpt.ts";

/** Bytes of binary header and JSON area together: the smallest that the format allows, and cryptsetup's default. */
const metadataSize = 16 * 1024;
const binarySize = 4096;
/** Where encrypted data begins: cryptsetup's and systemd-repart's place for it. */
export const luksDataOffset: number = 16 * 1024 ** 2;
/** Where the area of the only key slot begins. */
const keyslotOffset = 2 * metadataSize;
/** Bytes of a volume key for AES-256 in XTS mode, which takes two keys. */
export const volumeKeySize = 64;
/** Stripes that the key slot spreads the volume key over; the format allows no other number. */
export const luksStripes = 4000;
/** Bytes of an area: a multiple of 4096. */
const keyslotSize = Math.ceil((volumeKeySize * luksStripes) / 4096) * 4096;
const cipher = "aes-xts-plain64";
/** Bytes of the salt in each binary header. */
const headerSaltSize = 64;

/** How a key slot makes a key of a passphrase. */
export type LuksKdf =
  | {
      readonly type: "argon2id";
      /** Passes over the memory. */
      readonly time: number;
      /** KiB. */
      readonly memory: number;
      /** Lanes, which can be computed in parallel. */
      readonly cpus: number;
    }
  | { readonly type: "pbkdf2"; readonly iterations: number };

export interface LuksHeader {
  readonly uuid: string;
  /** At most 47 bytes. */
  readonly label: string;
  /** Bytes that are encrypted together: 512, 1024, 2048 or 4096. */
  readonly sectorSize: number;
  readonly kdf: LuksKdf;
  readonly kdfSalt: Uint8Array;
  /** The volume key, split and encrypted. */
  readonly keyslot: Uint8Array;
  /** PBKDF2 with SHA-256 of the volume key, by which a right passphrase is known. */
  readonly digest: { readonly iterations: number; readonly salt: Uint8Array; readonly value: Uint8Array };
  /** Two salts of 64 bytes: of the first and the second copy. */
  readonly salts: readonly [Uint8Array, Uint8Array];
}

/** What stands before the data: the two headers, and the area of the key slot. */
export function encodeLuksHeader(header: LuksHeader): readonly Region[] {
  const json = new TextEncoder().encode(JSON.stringify(metadata(header)));
  if (json.length >= metadataSize - binarySize) throw new RangeError(`${json.length} bytes of metadata do not fit`);
  if (header.keyslot.length > keyslotSize) throw new RangeError(`${header.keyslot.length} bytes of key do not fit`);
  return [
    { offset: 0, bytes: copy(header, json, 0) },
    { offset: metadataSize, bytes: copy(header, json, metadataSize) },
    { offset: keyslotOffset, bytes: concatBytes([header.keyslot]) },
  ];
}

/** Binary header and JSON area of one copy. */
function copy(header: LuksHeader, json: Uint8Array, offset: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(metadataSize);
  const view = new DataView(bytes.buffer);
  const text = (at: number, size: number, value: string): void => {
    const encoded = new TextEncoder().encode(value);
    if (encoded.length >= size) throw new RangeError(`"${value}" has ${encoded.length} bytes, at most ${size - 1} fit`);
    bytes.set(encoded, at);
  };
  const salt = header.salts[offset === 0 ? 0 : 1];
  if (salt.length !== headerSaltSize) throw new RangeError(`a header's salt has 64 bytes, not ${salt.length}`);
  // The second copy is found by a signature of its own.
  bytes.set(offset === 0 ? [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe] : [0x53, 0x4b, 0x55, 0x4c, 0xba, 0xbe]);
  view.setUint16(6, 2);
  view.setBigUint64(8, BigInt(metadataSize));
  // Counts changes of the header; the copy with the larger number is the newer.
  view.setBigUint64(16, 1n);
  text(24, 48, header.label);
  text(72, 32, "sha256");
  bytes.set(salt, 104);
  text(168, 40, header.uuid);
  view.setBigUint64(256, BigInt(offset));
  bytes.set(json, binarySize);
  bytes.set(sha256(bytes), 448);
  return bytes;
}

/** The JSON area, in cryptsetup's order of keys; 64-bit numbers are texts. */
function metadata({ kdf, kdfSalt, sectorSize, digest }: LuksHeader): unknown {
  const salt = base64(kdfSalt);
  return {
    keyslots: {
      0: {
        type: "luks2",
        key_size: volumeKeySize,
        af: { type: "luks1", stripes: luksStripes, hash: "sha256" },
        area: {
          type: "raw",
          offset: String(keyslotOffset),
          size: String(keyslotSize),
          encryption: cipher,
          key_size: volumeKeySize,
        },
        kdf:
          kdf.type === "argon2id"
            ? { type: kdf.type, time: kdf.time, memory: kdf.memory, cpus: kdf.cpus, salt }
            : { type: kdf.type, hash: "sha256", iterations: kdf.iterations, salt },
      },
    },
    tokens: {},
    segments: {
      0: {
        type: "crypt",
        offset: String(luksDataOffset),
        size: "dynamic",
        iv_tweak: "0",
        encryption: cipher,
        sector_size: sectorSize,
      },
    },
    digests: {
      0: {
        type: "pbkdf2",
        keyslots: ["0"],
        segments: ["0"],
        hash: "sha256",
        iterations: digest.iterations,
        salt: base64(digest.salt),
        digest: base64(digest.value),
      },
    },
    config: {
      json_size: String(metadataSize - binarySize),
      keyslots_size: String(luksDataOffset - keyslotOffset),
    },
  };
}

function base64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}
