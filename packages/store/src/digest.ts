/**
 * A chunk's name is the digest of its plain bytes: SHA-512/256 (casync's default) or SHA-256.
 * @module
 */
import { hash } from "node:crypto";
import type { DigestAlgorithm } from "@imgtool/chunker";
import type { ChunkName } from "./store.ts";

/** The name of a chunk with these plain bytes: 64 lower-case hexadecimal digits. */
export function chunkName(bytes: Uint8Array, algorithm: DigestAlgorithm = "sha512-256"): ChunkName {
  return hash(algorithm, bytes, "hex");
}
