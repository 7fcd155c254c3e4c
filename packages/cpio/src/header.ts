/**
 * Headers of the new portable format ("newc", cpio(5)): a magic number and thirteen numbers of eight
 * hexadecimal digits each, then the name; name and content are filled up to four bytes.
 *
 * Numbers that are the build machine's own, such as device and inode numbers, are not written.
 * @module
 */
import { fieldLimit, type CpioEntry } from "./entry.ts";

/** Headers with their names, and contents, take a multiple of this many bytes. */
const alignment = 4;

const magic = "070701";
const encoder = new TextEncoder();

/** The file type bits of st_mode (inode(7)). */
const typeBits: Readonly<Record<CpioEntry["kind"], number>> = {
  fifo: 0o010000,
  "character-device": 0o020000,
  directory: 0o040000,
  "block-device": 0o060000,
  file: 0o100000,
  symlink: 0o120000,
};

/** The header of an entry. `size` counts the bytes that follow it. */
export function encodeHeader(entry: CpioEntry, inode: number, size: number): Uint8Array<ArrayBuffer> {
  const device = entry.kind === "character-device" || entry.kind === "block-device";
  return header({
    name: entry.path,
    inode,
    mode: typeBits[entry.kind] | entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    // A directory's own count is of its folders, and differs between file systems.
    links: entry.kind === "directory" ? 2 : (entry.hardLink?.count ?? 1),
    time: Math.min(Math.max(Math.floor(entry.mtime), 0), fieldLimit),
    size,
    major: device ? entry.major : 0,
    minor: device ? entry.minor : 0,
  });
}

/** The header that ends an archive. */
export function encodeTrailer(name: string): Uint8Array<ArrayBuffer> {
  const rest = { inode: 0, mode: 0, uid: 0, gid: 0, links: 1, time: 0, size: 0, major: 0, minor: 0 };
  return header({ name: encoder.encode(name), ...rest });
}

interface Fields {
  readonly name: Uint8Array;
  readonly inode: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  readonly time: number;
  readonly size: number;
  readonly major: number;
  readonly minor: number;
}

function header(fields: Fields): Uint8Array<ArrayBuffer> {
  const { name, inode, mode, uid, gid, links, time, size, major, minor } = fields;
  // The device of the file, two numbers, is 0, and so is the checksum, which only another variant has.
  const numbers = [inode, mode, uid, gid, links, time, size, 0, 0, major, minor, name.length + 1, 0];
  const text = encoder.encode(
    magic + numbers.map((number) => number.toString(16).toUpperCase().padStart(8, "0")).join(""),
  );
  const length = text.length + name.length + 1;
  const bytes = new Uint8Array(length + fill(length));
  bytes.set(text);
  bytes.set(name, text.length);
  return bytes;
}

/** How many zeros fill up `length` bytes. */
export function fill(length: number): number {
  return (alignment - (length % alignment)) % alignment;
}
