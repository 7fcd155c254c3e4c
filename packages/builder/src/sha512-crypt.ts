/**
 * SHA-512 crypt, the `$6$` password hash of crypt(5), as "Unix crypt using SHA-256 and SHA-512"
 * (Ulrich Drepper) specifies it. The C library's crypt(3) would do, but not in every language's
 * standard library, and openssl is one more program that a machine may lack.
 * @module
 */
import { createHash, createHmac } from "node:crypto";

const alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const rounds = 5000;

/** The hash of a password with a salt of up to 16 characters of `./0-9A-Za-z`. */
export function sha512Crypt(password: string, salt: string): string {
  const key = Buffer.from(password);
  const saltBytes = Buffer.from(salt.slice(0, 16));
  const b = digest(key, saltBytes, key);
  const first = createHash("sha512").update(key).update(saltBytes).update(repeat(b, key.length));
  for (let length = key.length; length > 0; length >>= 1) first.update((length & 1) === 0 ? key : b);
  let a = first.digest();

  const p = repeat(digest(...Array.from({ length: key.length }, () => key)), key.length);
  const s = repeat(digest(...Array.from({ length: 16 + (a[0] ?? 0) }, () => saltBytes)), saltBytes.length);
  for (let round = 0; round < rounds; round++) {
    const odd = round % 2 === 1;
    const hash = createHash("sha512").update(odd ? p : a);
    if (round % 3 !== 0) hash.update(s);
    if (round % 7 !== 0) hash.update(p);
    a = hash.update(odd ? a : p).digest();
  }
  return `$6$${saltBytes.toString()}$${encode(a)}`;
}

/** A salt that depends on the seed alone, so that two builds give the same hash. */
export function saltFromSeed(seed: string): string {
  const bytes = createHmac("sha256", seed).update("root-password-salt").digest();
  return [...bytes.subarray(0, 16)].map((byte) => alphabet[byte % 64]).join("");
}

function digest(...parts: readonly Uint8Array[]): Buffer {
  const hash = createHash("sha512");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

function repeat(bytes: Uint8Array, length: number): Buffer {
  const result = Buffer.alloc(length);
  for (let offset = 0; offset < length; offset += bytes.length) result.set(bytes.subarray(0, length - offset), offset);
  return result;
}

/** Base 64 of triples of bytes that lie 21 apart, least significant digit first. */
function encode(a: Uint8Array): string {
  let text = "";
  const digits = (value: number, count: number): void => {
    for (let i = 0; i < count; i++) text += alphabet[(value >> (6 * i)) & 63];
  };
  for (let i = 0; i < 21; i++) {
    const at = [i, i + 21, i + 42];
    const turn = i % 3;
    const byte = (k: number): number => a[at[(k + turn) % 3] ?? 0] ?? 0;
    digits((byte(0) << 16) | (byte(1) << 8) | byte(2), 4);
  }
  digits(a[63] ?? 0, 2);
  return text;
}
