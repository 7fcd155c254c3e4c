/**
 * Fields of record bodies: numbers, NUL-terminated strings, text.
 * @module
 */
import { CatarError, quoteBytes } from "./errors.ts";
import type { RecordName } from "./records.ts";

/** A record whose body has been collected. */
export interface RawRecord {
  readonly name: RecordName;
  /** Of the record's header in the archive. */
  readonly offset: number;
  readonly body: Uint8Array;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Unsigned 64-bit field at a place in the body. */
export function u64(record: RawRecord, at: number): bigint {
  return new DataView(record.body.buffer, record.body.byteOffset, record.body.byteLength).getBigUint64(at, true);
}

/** A field that must not exceed `max`, as a number. */
export function bounded(record: RawRecord, at: number, max: number, what: string): number {
  const value = u64(record, at);
  if (value > BigInt(max)) {
    throw new CatarError("catar-field-invalid", `${what} is out of range`, {
      offset: record.offset,
      expected: `at most ${max}`,
      found: String(value),
    });
  }
  return Number(value);
}

/** The bytes from `at` up to the body's end, which must be one NUL-terminated string that is not empty. */
export function cString(record: RawRecord, at: number, what: string): Uint8Array {
  const { body, offset } = record;
  const end = body.indexOf(0, at);
  if (end !== body.length - 1 || end === at) {
    throw new CatarError("catar-string-invalid", `${what} is not a string`, {
      offset,
      expected: "one or more bytes and one NUL at the end of the record",
      found: quoteBytes(body.subarray(at, Math.min(body.length, at + 64))),
    });
  }
  return body.subarray(at, end);
}

/** As cString, for names that are text. */
export function textField(record: RawRecord, at: number, what: string): string {
  const bytes = cString(record, at, what);
  try {
    return utf8.decode(bytes);
  } catch {
    throw new CatarError("catar-string-invalid", `${what} is not UTF-8`, {
      offset: record.offset,
      expected: "UTF-8 text",
      found: quoteBytes(bytes),
    });
  }
}

/** Text with the NUL that ends it. */
export function encodeText(text: string): Uint8Array<ArrayBuffer> {
  return terminated(encoder.encode(text));
}

/** Bytes with the NUL that ends them. */
export function terminated(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(bytes.length + 1);
  result.set(bytes);
  return result;
}

/** A body of unsigned 64-bit fields. */
export function encodeNumbers(...values: readonly bigint[]): Uint8Array<ArrayBuffer> {
  const body = new Uint8Array(8 * values.length);
  const view = new DataView(body.buffer);
  for (const [index, value] of values.entries()) view.setBigUint64(8 * index, BigInt.asUintN(64, value), true);
  return body;
}
