/**
 * Reads tar archives by offset: v7, ustar, pax and GNU. An archive is not sorted, so that whoever needs
 * another order reads its members twice: once for their names, once more at their offsets.
 * @module
 */
import { concatBytes } from "@imgtool/core";
import type { ExtendedAttribute, TarEntry } from "./entry.ts";
import { decimal, decimalTime, numberField, textField } from "./fields.ts";
import { blockSize } from "./header.ts";
import { ascii, parsePax, type PaxRecords, repeatedMap } from "./pax.ts";
import { tarError } from "./read-errors.ts";
import { checkSegments, oldPairs, parseMap, type Segment } from "./sparse.ts";

/** Where an archive's bytes are. */
export interface TarInput {
  /** The bytes at an offset; fewer at the end of the archive. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** What an archive says about one file. */
export interface TarMember {
  readonly kind: TarEntry["kind"];
  readonly path: Uint8Array;
  /** Of links. */
  readonly target: Uint8Array;
  /** Permission bits: 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Names of the owners; empty where there are none. */
  readonly user: string;
  readonly group: string;
  /** Nanoseconds since 1970. */
  readonly mtime: bigint;
  readonly major: number;
  readonly minor: number;
  readonly xattrs: readonly ExtendedAttribute[];
  /** Access control lists, as text. */
  readonly acl: string | undefined;
  readonly defaultAcl: string | undefined;
  readonly selinux: string | undefined;
  /** Bytes of a file. */
  readonly size: number;
  /** Where the file's bytes are: `at` in the archive. The rest are zeros. */
  readonly segments: readonly (Segment & { readonly at: number })[];
  /** Offset of the next member. */
  readonly next: number;
  /** Extended records that hold for all members from here on. */
  readonly globals: PaxRecords;
}

/** Most bytes of an extended header, and of a long name. */
const maxExtended: number = 1024 ** 2;
const maxSparseMap: number = 4 * 1024 ** 2;

const kinds: Readonly<Record<string, TarEntry["kind"] | undefined>> = {
  "\0": "file",
  "0": "file",
  "7": "file",
  S: "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "character-device",
  "4": "block-device",
  "5": "directory",
  D: "directory",
  "6": "fifo",
};

/**
 * The member that begins at an offset, extended headers included; undefined at the archive's end.
 * @param globals of the member before; none for the first
 * @throws FormatError `tar-…` with the offset
 */
export async function readTarMember(
  input: TarInput,
  offset: number,
  globals: PaxRecords = new Map(),
): Promise<TarMember | undefined> {
  let all = globals;
  let own: PaxRecords | undefined;
  let longPath: Uint8Array | undefined;
  let longTarget: Uint8Array | undefined;
  for (let at = offset; ;) {
    const block = await readBlock(input, at);
    if (block.every((byte) => byte === 0)) {
      if (at === offset || own === undefined) return undefined;
      throw tarError("tar-truncated", at, "an extended header without a member", "a member", "the end");
    }
    checkSum(block, at);
    const type = String.fromCharCode(block[156] ?? 0);
    const size = numberField(block, 124, 12, at);
    if (size < 0) throw tarError("tar-number", at + 124, "a negative size", "0 or more", String(size));
    const body = at + blockSize;
    if (!"xgLKVX".includes(type)) {
      return readMember(input, { block, at, body, size, type, longPath, longTarget }, own ?? all, all);
    }
    if (type !== "V") {
      const bytes = await readBody(input, body, size);
      if (type === "g") all = parsePax(bytes, body, all);
      else if (type === "L") longPath = textField(bytes, 0, bytes.length).slice();
      else if (type === "K") longTarget = textField(bytes, 0, bytes.length).slice();
      else own = parsePax(bytes, body, own ?? all);
    }
    at = body + Math.ceil(size / blockSize) * blockSize;
  }
}

interface Head {
  readonly block: Uint8Array;
  readonly at: number;
  readonly body: number;
  readonly size: number;
  readonly type: string;
  readonly longPath: Uint8Array | undefined;
  readonly longTarget: Uint8Array | undefined;
}

async function readMember(input: TarInput, head: Head, pax: PaxRecords, globals: PaxRecords): Promise<TarMember> {
  const { block, at, type } = head;
  const path = pax.get("GNU.sparse.name") ?? pax.get("path") ?? head.longPath ?? headerPath(block);
  const target = pax.get("linkpath") ?? head.longTarget ?? textField(block, 157, 100);
  let kind = kinds[type];
  if (kind === undefined) {
    throw tarError(
      "tar-type",
      at + 156,
      "a type that cannot be read",
      "a file, link, device, directory or FIFO",
      JSON.stringify(type),
    );
  }
  // v7 had no type for directories.
  if (kind === "file" && path.at(-1) === 0x2f) kind = "directory";
  const mtime = pax.get("mtime");
  const number = (keyword: string, from: number, length: number): number => {
    const value = pax.get(keyword);
    return value === undefined ? numberField(block, from, length, at) : decimal(value, keyword, at);
  };
  const isDevice = kind === "character-device" || kind === "block-device";
  const member = {
    kind,
    path,
    target,
    mode: numberField(block, 100, 8, at) & 0o7777,
    uid: checkId(number("uid", 108, 8), at + 108),
    gid: checkId(number("gid", 116, 8), at + 116),
    user: ownerName(pax.get("uname") ?? ustarText(block, 265)),
    group: ownerName(pax.get("gname") ?? ustarText(block, 297)),
    mtime: mtime === undefined ? BigInt(numberField(block, 136, 12, at)) * 1_000_000_000n : decimalTime(mtime, at),
    major: isDevice ? number("SCHILY.devmajor", 329, 8) : 0,
    minor: isDevice ? number("SCHILY.devminor", 337, 8) : 0,
    xattrs: xattrsOf(pax),
    acl: textOf(pax.get("SCHILY.acl.access")),
    defaultAcl: textOf(pax.get("SCHILY.acl.default")),
    selinux: textOf(pax.get("RHT.security.selinux")),
    globals,
  };
  if (path.length === 0 || path.includes(0))
    throw tarError("tar-name", at, "a member without a name", "a name", ascii(path));
  if (kind !== "file") {
    const skipped = type === "D" ? Math.ceil(head.size / blockSize) * blockSize : 0;
    return { ...member, size: 0, segments: [], next: head.body + skipped };
  }
  const stored = number("size", 124, 12);
  return { ...member, ...(await readSegments(input, head, pax, stored)) };
}

/** Where a file's bytes are. */
async function readSegments(
  input: TarInput,
  { block, at, body, type }: Head,
  pax: PaxRecords,
  stored: number,
): Promise<Pick<TarMember, "size" | "segments" | "next">> {
  const next = body + Math.ceil(stored / blockSize) * blockSize;
  const real = pax.get("GNU.sparse.realsize") ?? pax.get("GNU.sparse.size");
  if (type === "S") {
    const { segments, length } = await oldMap(input, block, at, body);
    const size = numberField(block, 483, 12, at);
    return { size, segments: placed(segments, body + length, size, stored, at), next: next + length };
  }
  if (real === undefined) return { size: stored, segments: [{ start: 0, length: stored, at: body }], next };
  const size = decimal(real, "GNU.sparse.realsize", at);
  const map = pax.get("GNU.sparse.map") ?? pax.get(repeatedMap);
  if (map !== undefined) {
    return { size, segments: placed(parseMap(ascii(map).split(","), at), body, size, stored, at), next };
  }
  const { segments, length } = await newMap(input, body, stored);
  return { size, segments: placed(segments, body + length, size, stored - length, at), next };
}

function placed(
  segments: readonly Segment[],
  body: number,
  size: number,
  stored: number,
  offset: number,
): TarMember["segments"] {
  checkSegments(segments, size, stored, offset);
  let at = body;
  return segments.map((segment) => {
    const here = at;
    at += segment.length;
    return { ...segment, at: here };
  });
}

/** The old form: four pairs in the header, more in the blocks behind it. */
async function oldMap(
  input: TarInput,
  block: Uint8Array,
  at: number,
  body: number,
): Promise<{ readonly segments: readonly Segment[]; readonly length: number }> {
  const segments = [...oldPairs(block, 386, 4, at)];
  let length = 0;
  for (let more = block[482] === 1; more;) {
    if (length > maxSparseMap) throw tarError("tar-sparse", at, "a sparse map", "a shorter one", `${length} bytes`);
    const extension = await readBlock(input, body + length);
    segments.push(...oldPairs(extension, 0, 21, body + length));
    more = extension[504] === 1;
    length += blockSize;
  }
  return { segments, length };
}

/** Form 1.0: decimal lines before the data, in whole blocks: the number of pairs, then the pairs. */
async function newMap(
  input: TarInput,
  body: number,
  stored: number,
): Promise<{ readonly segments: readonly Segment[]; readonly length: number }> {
  let [text, length, lines] = ["", 0, 0];
  let count: number | undefined;
  for (;;) {
    if (length >= stored || length > maxSparseMap) {
      throw tarError("tar-sparse", body, "a sparse map", "one that ends inside the member", `${length} bytes`);
    }
    const block = ascii(await readBlock(input, body + length));
    text += block;
    length += blockSize;
    lines += block.split("\n").length - 1;
    if (lines === 0) continue;
    count ??= Number(/^([0-9]{1,6})\n/.exec(text)?.[1]);
    if (Number.isNaN(count)) {
      const found = JSON.stringify(text.slice(0, 40));
      throw tarError("tar-sparse", body, "a sparse map", "a count of pairs", found);
    }
    if (lines > 2 * count) return { segments: parseMap(text.split("\n").slice(1, 2 * count + 1), body), length };
  }
}

async function readBlock(input: TarInput, offset: number): Promise<Uint8Array> {
  const block = await input.read(offset, blockSize);
  if (block.length === blockSize) return block;
  throw tarError("tar-truncated", offset, "the archive ends early", `${blockSize} bytes`, `${block.length}`);
}

async function readBody(input: TarInput, offset: number, size: number): Promise<Uint8Array> {
  if (size > maxExtended) {
    throw tarError("tar-extended", offset, "an extended header", `at most ${maxExtended} bytes`, `${size}`);
  }
  const bytes = await input.read(offset, size);
  if (bytes.length === size) return bytes;
  throw tarError("tar-truncated", offset, "the archive ends early", `${size} bytes`, `${bytes.length}`);
}

/** The sum of the header's bytes, its own field taken as spaces; some old writers took them as signed. */
function checkSum(block: Uint8Array, at: number): void {
  let [sum, signed] = [0, 0];
  for (const [i, byte] of block.entries()) {
    const value = i >= 148 && i < 156 ? 0x20 : byte;
    sum += value;
    signed += value > 127 ? value - 256 : value;
  }
  const found = numberField(block, 148, 8, at);
  if (found !== sum && found !== signed) {
    throw tarError("tar-checksum", at, "the header's checksum is wrong", String(sum), String(found));
  }
}

const posixMagic = "ustar\0";

function headerPath(block: Uint8Array): Uint8Array {
  const name = textField(block, 0, 100);
  const prefix = ascii(block.subarray(257, 263)) === posixMagic ? textField(block, 345, 155) : new Uint8Array(0);
  return prefix.length === 0 ? name.slice() : concatBytes([prefix, Uint8Array.of(0x2f), name]);
}

/** A text of ustar headers, which v7 ones lack. */
function ustarText(block: Uint8Array, at: number): Uint8Array {
  return ascii(block.subarray(257, 262)) === "ustar" ? textField(block, at, 32) : new Uint8Array(0);
}

function ownerName(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes.subarray(0, 256));
}

function textOf(value: Uint8Array | undefined): string | undefined {
  return value === undefined ? undefined : new TextDecoder().decode(value);
}

function checkId(id: number, offset: number): number {
  if (id >= 0 && id < 0xffff_ffff) return id;
  throw tarError("tar-number", offset, "no id of an owner", "0 to 2^32-2", String(id));
}

const xattrPrefix = "SCHILY.xattr.";

function xattrsOf(pax: PaxRecords): readonly ExtendedAttribute[] {
  const found: ExtendedAttribute[] = [];
  for (const [keyword, value] of pax) {
    if (!keyword.startsWith(xattrPrefix)) continue;
    const name = keyword.slice(xattrPrefix.length).replaceAll("%3D", "=").replaceAll("%25", "%");
    found.push({ name, value });
  }
  return found;
}
