/**
 * The seed of a project that sets none: a name-based UUID (RFC 9562, version 5), so that the same
 * project yields the same identifiers on every machine.
 * @module
 */
import { toHex } from "@imgtool/core";
import { sha1 } from "@noble/hashes/legacy.js";

/** Namespace of imgtool's seeds; made once at random, and never changed. */
const namespace = Uint8Array.from([
  0x8d, 0x4c, 0x26, 0x0b, 0xd4, 0x5e, 0x4f, 0x6a, 0x9a, 0x11, 0x6f, 0x02, 0x5b, 0xe3, 0x77, 0xc9,
]);

/** The seed that belongs to a name. */
export function deriveSeed(name: string): string {
  const text = new TextEncoder().encode(name);
  const input = new Uint8Array(namespace.length + text.length);
  input.set(namespace);
  input.set(text, namespace.length);
  const bytes = sha1(input).slice(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x50;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return toHex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
