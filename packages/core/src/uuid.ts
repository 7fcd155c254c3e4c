/**
 * UUIDs as text, as RFC 9562 bytes, and in the mixed byte order of UEFI and its GPT (UEFI 2.10,
 * appendix A: the first three fields little-endian).
 * @module
 */
import { fromHex, toHex } from "./bytes.ts";
import { ConfigError } from "./errors.ts";

const pattern = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;

/** Whether the text is a UUID, with or without its hyphens. */
export function isUuid(text: string): boolean {
  return pattern.test(text);
}

/**
 * The 16 bytes of a UUID in the order of its text.
 * @throws ConfigError `uuid-invalid`
 */
export function parseUuid(text: string): Uint8Array<ArrayBuffer> {
  if (!isUuid(text)) throw new ConfigError(`not a UUID: "${text}"`, { code: "uuid-invalid", data: { found: text } });
  return fromHex(text.replaceAll("-", ""));
}

/** Lower-case text with hyphens of 16 bytes. */
export function formatUuid(bytes: Uint8Array): string {
  if (bytes.length !== 16) throw new RangeError(`a UUID has 16 bytes, not ${bytes.length}`);
  const text = toHex(bytes);
  return `${text.slice(0, 8)}-${text.slice(8, 12)}-${text.slice(12, 16)}-${text.slice(16, 20)}-${text.slice(20)}`;
}

/** Swaps between the order of the text and UEFI's order; its own inverse. */
export function swapGuid(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  return Uint8Array.from(order, (from) => bytes[from] ?? 0);
}
