/**
 * Reproducible test bytes.
 * @module
 */
import { createCipheriv, createHash } from "node:crypto";

/** `length` incompressible bytes that depend on `seed` alone (AES-128-CTR of zeros). */
export function randomBytes(length: number, seed: string): Uint8Array<ArrayBuffer> {
  const key = createHash("sha256").update(seed).digest().subarray(0, 16);
  const cipher = createCipheriv("aes-128-ctr", key, Buffer.alloc(16));
  return new Uint8Array(cipher.update(new Uint8Array(length)));
}
