/**
 * Records of extended headers (POSIX.1-2017, pax): `length keyword=value\n`. A later record replaces an
 * earlier one, an empty value takes one back.
 * @module
 */
import { tarError } from "./read-errors.ts";

export type PaxRecords = ReadonlyMap<string, Uint8Array>;

/** GNU's first form of sparse files repeats these two: they are kept in order, joined by commas. */
const repeated: ReadonlySet<string> = new Set(["GNU.sparse.offset", "GNU.sparse.numbytes"]);
export const repeatedMap = "GNU.sparse.offset,numbytes";

/** @param offset of the records in the archive @throws FormatError `tar-pax` */
export function parsePax(bytes: Uint8Array, offset: number, before: PaxRecords = new Map()): PaxRecords {
  const records = new Map(before);
  const map: string[] = [];
  for (let at = 0; at < bytes.length;) {
    // Some writers fill the last block with NULs.
    if (bytes[at] === 0) break;
    const space = bytes.indexOf(0x20, at);
    const digits = space < 0 || space - at > 10 ? "" : ascii(bytes.subarray(at, space));
    const length = /^[0-9]+$/.test(digits) ? Number(digits) : 0;
    const end = at + length;
    const equals = bytes.indexOf(0x3d, space);
    if (length < digits.length + 4 || end > bytes.length || bytes[end - 1] !== 0x0a || equals < 0 || equals >= end) {
      throw tarError("tar-pax", offset + at, "not a record", "length keyword=value", JSON.stringify(digits));
    }
    const keyword = new TextDecoder("latin1").decode(bytes.subarray(space + 1, equals));
    const value = bytes.slice(equals + 1, end - 1);
    if (repeated.has(keyword)) map.push(ascii(value));
    else if (value.length === 0 && !keyword.startsWith("SCHILY.xattr.")) records.delete(keyword);
    else records.set(keyword, value);
    at = end;
  }
  if (map.length > 0) records.set(repeatedMap, new TextEncoder().encode(map.join(",")));
  return records;
}

export function ascii(bytes: Uint8Array): string {
  return new TextDecoder("latin1").decode(bytes);
}
