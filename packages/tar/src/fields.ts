/**
 * Fields of a tar header: text that ends in a NUL, octal numbers, and GNU's binary ones.
 * @module
 */
import { tarError } from "./read-errors.ts";

/** A field up to its NUL. */
export function textField(block: Uint8Array, at: number, length: number): Uint8Array {
  const field = block.subarray(at, at + length);
  const end = field.indexOf(0);
  return end < 0 ? field : field.subarray(0, end);
}

/** A number of a header: octal digits, or base 256 where the first bit is set. @param offset of the block */
export function numberField(block: Uint8Array, at: number, length: number, offset: number): number {
  const first = block[at] ?? 0;
  if (first === 0x80 || first === 0xff) {
    let value = first === 0xff ? -1n : 0n;
    for (const byte of block.subarray(at + 1, at + length)) value = (value << 8n) | BigInt(byte);
    return safe(value, offset + at);
  }
  const text = String.fromCharCode(...textField(block, at, length)).trim();
  if (!/^[0-7]*$/.test(text))
    throw tarError("tar-number", offset + at, "not a number", "octal digits", JSON.stringify(text));
  return text === "" ? 0 : Number.parseInt(text, 8);
}

/** A decimal number of an extended header. */
export function decimal(value: Uint8Array, keyword: string, offset: number): number {
  const text = String.fromCharCode(...value.subarray(0, 40));
  if (!/^[0-9]{1,20}$/.test(text)) {
    throw tarError("tar-number", offset, `${keyword} is no number`, "decimal digits", JSON.stringify(text));
  }
  return safe(BigInt(text), offset);
}

/** Nanoseconds from decimal seconds; what is finer is cut off towards the past. */
export function decimalTime(value: Uint8Array, offset: number): bigint {
  const text = String.fromCharCode(...value.subarray(0, 60));
  const match = /^(-?)(\d{1,20})(?:\.(\d*))?$/.exec(text);
  if (match === null) throw tarError("tar-number", offset, "mtime is no time", "decimal seconds", JSON.stringify(text));
  const [, sign, seconds = "0", fraction = ""] = match;
  const nanoseconds = BigInt(seconds) * 1_000_000_000n + BigInt(fraction.slice(0, 9).padEnd(9, "0"));
  if (sign === "") return nanoseconds;
  return /[1-9]/.test(fraction.slice(9)) ? -nanoseconds - 1n : -nanoseconds;
}

function safe(value: bigint, offset: number): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) {
    throw tarError("tar-number", offset, "a number is too large", "at most 2^53-1", String(value));
  }
  return number;
}
