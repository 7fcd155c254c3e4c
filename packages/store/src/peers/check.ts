/**
 * What a peer's answer must be.
 * @module
 */
import type { DigestAlgorithm } from "@imgtool/chunker";
import { IntegrityError } from "@imgtool/core";
import { decompressChunk } from "../codecs.ts";
import { chunkName } from "../digest.ts";
import { chunkPlace, StoreCipher } from "../encrypted/cipher.ts";
import type { StoreKey } from "../encrypted/key.ts";
import type { PeerStoreOptions } from "./peer-store.ts";

export interface PeerCheckOptions {
  /** Of the chunks' names. */
  readonly digest: DigestAlgorithm;
  /** Bytes of the largest chunk of the index, plain. */
  readonly largest: number;
  /** With which the chunks are encrypted: then the names are those in the store. */
  readonly key?: StoreKey | undefined;
}

/** Checks that bytes are the chunk's: by their digest or, encrypted, by their authentication tag. */
export function peerCheck({ digest, largest, key }: PeerCheckOptions): PeerStoreOptions["check"] {
  if (key !== undefined) {
    const cipher = new StoreCipher(key);
    return (name, chunk) => void cipher.openStored(name, chunk, chunkPlace(name, name, "neighbours"));
  }
  return (name, chunk) => {
    const found = chunkName(decompressChunk(chunk, largest), digest);
    if (found === name) return;
    throw new IntegrityError(`it sent other bytes than those of chunk ${name}: their digest is ${found}`, {
      code: "chunk-altered",
      data: { chunk: name, expected: name, found },
    });
  };
}
