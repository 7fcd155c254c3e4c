/**
 * Headers of the pax interchange format (POSIX.1-2017, pax, "pax Interchange Format" and "ustar
 * Interchange Format"): a ustar header, preceded by an extended header for what does not fit it.
 *
 * The bytes depend on the entry alone: no user names, no process ids, records in a fixed order.
 * @module
 */
import { concatBytes } from "@imgtool/core";
import { checkEntry, type TarEntry } from "./entry.ts";

/** Everything in an archive comes in blocks of this many bytes. */
export const blockSize = 512;

const typeFlags: Readonly<Record<TarEntry["kind"], string>> = {
  file: "0",
  hardlink: "1",
  symlink: "2",
  "character-device": "3",
  "block-device": "4",
  directory: "5",
  fifo: "6",
};

const encoder = new TextEncoder();
const strictDecoder = new TextDecoder("utf-8", { fatal: true });
const nanoseconds = 1_000_000_000n;
// What 7 and 11 octal digits hold.
const smallLimit = 0o7777777;
const largeLimit = 0o77777777777;

/**
 * The header blocks of an entry; the content follows them.
 * @throws FormatError `tar-entry-invalid`
 */
export function encodeHeader(entry: TarEntry): Uint8Array<ArrayBuffer> {
  checkEntry(entry);
  const path = entryPath(entry);
  const target = entry.kind === "symlink" || entry.kind === "hardlink" ? entry.target : new Uint8Array();
  const size = entry.kind === "file" ? entry.size : 0;
  const seconds = floorDivide(entry.mtime, nanoseconds);

  const records: Uint8Array[] = [];
  // Without this record readers take names for UTF-8, and some refuse or change others.
  if (!isUtf8(path) || !isUtf8(target)) records.push(record("hdrcharset", encoder.encode("BINARY")));
  if (path.length > 100) records.push(record("path", path));
  if (target.length > 100) records.push(record("linkpath", target));
  if (size > largeLimit) records.push(record("size", encoder.encode(String(size))));
  if (entry.uid > smallLimit) records.push(record("uid", encoder.encode(String(entry.uid))));
  if (entry.gid > smallLimit) records.push(record("gid", encoder.encode(String(entry.gid))));
  const exactTime = seconds * nanoseconds !== entry.mtime || seconds < 0n || seconds > BigInt(largeLimit);
  if (exactTime) records.push(record("mtime", encoder.encode(formatTime(entry.mtime))));
  if (entry.acl !== undefined) records.push(record("SCHILY.acl.access", encoder.encode(entry.acl)));
  if (entry.defaultAcl !== undefined) records.push(record("SCHILY.acl.default", encoder.encode(entry.defaultAcl)));
  const attributes = (entry.xattrs ?? []).map(({ name, value }) => ({ name: attributeKeyword(name), value }));
  for (const { name, value } of attributes.sort((a, b) => (a.name < b.name ? -1 : 1)))
    records.push(record(name, value));

  const numbers = {
    mode: entry.mode,
    uid: Math.min(entry.uid, smallLimit),
    gid: Math.min(entry.gid, smallLimit),
    size: Math.min(size, largeLimit),
    mtime: Number(clamp(seconds, 0n, BigInt(largeLimit))),
    major: entry.kind === "character-device" || entry.kind === "block-device" ? entry.major : 0,
    minor: entry.kind === "character-device" || entry.kind === "block-device" ? entry.minor : 0,
  };
  const main = ustar({ ...numbers, path, target, type: typeFlags[entry.kind] });
  if (records.length === 0) return main;
  const extended = concatBytes(records);
  const before = ustar({
    ...numbers,
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: extended.length,
    major: 0,
    minor: 0,
    path: extendedName(path),
    target: new Uint8Array(),
    type: "x",
  });
  return concatBytes([before, extended, padding(extended.length), main]);
}

/** Zeros that fill up the last block of `size` bytes. */
export function padding(size: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array((blockSize - (size % blockSize)) % blockSize);
}

interface Ustar {
  readonly path: Uint8Array;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  readonly type: string;
  readonly target: Uint8Array;
  readonly major: number;
  readonly minor: number;
}

function ustar(fields: Ustar): Uint8Array<ArrayBuffer> {
  const block = new Uint8Array(blockSize);
  const text = (offset: number, value: string): void => block.set(encoder.encode(value), offset);
  const octal = (offset: number, digits: number, value: number): void =>
    text(offset, value.toString(8).padStart(digits, "0"));
  block.set(fields.path.subarray(0, 100), 0);
  octal(100, 7, fields.mode);
  octal(108, 7, fields.uid);
  octal(116, 7, fields.gid);
  octal(124, 11, fields.size);
  octal(136, 11, fields.mtime);
  text(148, "        ");
  text(156, fields.type);
  block.set(fields.target.subarray(0, 100), 157);
  text(257, "ustar\u{0}00");
  octal(329, 7, fields.major);
  octal(337, 7, fields.minor);
  // The checksum counts its own field as spaces; it ends in a NUL and a space.
  octal(
    148,
    6,
    block.reduce((sum, byte) => sum + byte, 0),
  );
  block[154] = 0;
  return block;
}

/** A record of an extended header: its own length in decimal, a space, keyword=value, a newline. */
function record(keyword: string, value: Uint8Array): Uint8Array {
  const content = concatBytes([encoder.encode(` ${keyword}=`), value, encoder.encode("\n")]);
  let length = content.length + 1;
  while (String(length).length + content.length !== length) length = String(length).length + content.length;
  return concatBytes([encoder.encode(String(length)), content]);
}

/** A directory's name ends in a slash. */
function entryPath(entry: TarEntry): Uint8Array {
  if (entry.kind !== "directory" || entry.path.at(-1) === 0x2f) return entry.path;
  return concatBytes([entry.path, encoder.encode("/")]);
}

/** Readers that know no extended headers extract them as files of this name. */
function extendedName(path: Uint8Array): Uint8Array {
  const end = path.at(-1) === 0x2f ? path.length - 1 : path.length;
  const start = path.lastIndexOf(0x2f, end - 1) + 1;
  return concatBytes([encoder.encode("PaxHeaders/"), path.subarray(start, end)]).subarray(0, 100);
}

// A keyword cannot contain "="; GNU tar (since 1.29) and star's readers undo this encoding.
function attributeKeyword(name: string): string {
  return `SCHILY.xattr.${name.replaceAll("%", "%25").replaceAll("=", "%3D")}`;
}

/** Decimal seconds, with as many digits after the point as it takes. */
function formatTime(time: bigint): string {
  const absolute = time < 0n ? -time : time;
  const fraction = (absolute % nanoseconds).toString().padStart(9, "0").replace(/0+$/, "");
  return `${time < 0n ? "-" : ""}${absolute / nanoseconds}${fraction === "" ? "" : `.${fraction}`}`;
}

function floorDivide(a: bigint, b: bigint): bigint {
  return a % b < 0n ? a / b - 1n : a / b;
}

function clamp(value: bigint, low: bigint, high: bigint): bigint {
  return value < low ? low : value > high ? high : value;
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    strictDecoder.decode(bytes);
    return true;
  } catch {
    return false;
  }
}
