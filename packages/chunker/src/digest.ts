/**
 * Chunk ids: SHA-512/256 (FIPS 180-4, section 6.7) or SHA-256 of a chunk's plain bytes.
 *
 * This implementation is pure and runs anywhere; programs on Node.js hand `node:crypto`'s to where
 * speed matters.
 * @module
 */
import { sha256, sha512_256 } from "@noble/hashes/sha2.js";

/** The names are those that node:crypto gives the algorithms. */
export type DigestAlgorithm = "sha512-256" | "sha256";

export const digestAlgorithms: readonly DigestAlgorithm[] = ["sha512-256", "sha256"];
export const defaultDigest: DigestAlgorithm = "sha512-256";
/** Length of both digests, in bytes. */
export const digestLength = 32;

/** The 32-byte digest of the bytes. */
export type DigestFunction = (algorithm: DigestAlgorithm, bytes: Uint8Array) => Uint8Array;

/** The digest in pure JavaScript; a DigestFunction. */
export function chunkDigest(algorithm: DigestAlgorithm, bytes: Uint8Array): Uint8Array {
  return algorithm === "sha512-256" ? sha512_256(bytes) : sha256(bytes);
}
