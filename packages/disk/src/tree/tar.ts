/**
 * A tree as a POSIX pax archive (pax(1)) as mksquashfs(1) takes it on standard input. Records for what
 * ustar's fields cannot hold: long names, large numbers, extended attributes. mksquashfs 4.5 ignores an
 * entry for the root, refuses times before 1970 and has no place for ACLs, so none of these is written.
 * @module
 */
import { closeSync } from "node:fs";
import { openContent, readRun } from "../filesystems/data-runs.ts";
import { walk, type NodeKind, type TreeNode } from "./node.ts";

const typeFlags: Readonly<Record<Exclude<NodeKind, "socket">, string>> = {
  file: "0",
  symlink: "2",
  character: "3",
  block: "4",
  directory: "5",
  fifo: "6",
};
const kept = /^(?:user|trusted|security)\./;
/** Bytes of what the archive is handed on in. */
const pieceSize = 256 * 1024;

/**
 * The bytes of the archive, piece by piece. Sockets have no place in an archive and are left out.
 *
 * Most files are small: handed on one by one, header and content, they took a fifth longer (measured).
 */
export function* tarStream(root: TreeNode): Generator<Buffer> {
  let piece = Buffer.allocUnsafeSlow(pieceSize);
  let filled = 0;
  for (const part of parts(root))
    for (let at = 0; at < part.length;) {
      const count = part.copy(piece, filled, at);
      at += count;
      filled += count;
      if (filled < pieceSize) continue;
      yield piece;
      piece = Buffer.allocUnsafeSlow(pieceSize);
      filled = 0;
    }
  if (filled > 0) yield piece.subarray(0, filled);
}

/** What the archive consists of; each part is good until the next one. */
function* parts(root: TreeNode): Generator<Buffer> {
  // Of this archive alone: another may be made while this one waits for its reader.
  const scratch = Buffer.alloc(pieceSize);
  const paths = new Map<TreeNode, Buffer>();
  for (const { node, path, again } of walk(root)) {
    if (node.kind === "socket") continue;
    if (path.length === 0) continue;
    const name = path;
    if (again) {
      yield* header(node, name, "1", 0, paths.get(node));
      continue;
    }
    if (node.links > 1) paths.set(node, path);
    yield* header(node, name, typeFlags[node.kind], node.size, node.target);
    if (node.kind === "file" && node.source !== undefined && node.size > 0)
      yield* content(node.source, node.size, scratch);
  }
  yield Buffer.alloc(1024);
}

/** @param scratch holds what was read last */
function* content(path: Buffer, size: number, scratch: Buffer): Generator<Buffer> {
  const file = openContent(path);
  try {
    for (let offset = 0; offset < size; offset += pieceSize) {
      const length = Math.min(pieceSize, size - offset);
      readRun(file, path, { offset, length }, (at, wanted) => scratch.subarray(at - offset, at - offset + wanted));
      const padded = Math.ceil(length / 512) * 512;
      scratch.fill(0, length, padded);
      yield scratch.subarray(0, padded);
    }
  } finally {
    closeSync(file);
  }
}

function* header(
  node: TreeNode,
  name: Buffer,
  typeFlag: string,
  size: number,
  link: Buffer | undefined,
): Generator<Buffer> {
  const records: Buffer[] = [];
  const add = (key: string, value: Uint8Array | string): void => {
    const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from("\n")]);
    let length = rest.length + 1;
    while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
    records.push(Buffer.from(String(length)), rest);
  };
  const octal = (value: number, width: number, key: string): string => {
    const text = value.toString(8);
    if (value >= 0 && text.length < width) return text.padStart(width - 1, "0");
    add(key, String(value));
    return "0".repeat(width - 1);
  };
  if (name.length > 100) add("path", name);
  if (typeFlag !== "1")
    for (const { name, value } of node.xattrs) if (kept.test(name)) add(`SCHILY.xattr.${name}`, value);
  const block = Buffer.alloc(512);
  name.copy(block, 0, 0, 100);
  block.write(octal(node.mode, 8, "mode"), 100);
  block.write(octal(node.uid, 8, "uid"), 108);
  block.write(octal(node.gid, 8, "gid"), 116);
  block.write(octal(size, 12, "size"), 124);
  block.write(octal(Math.max(0, node.seconds), 12, "mtime"), 136);
  block.write(typeFlag, 156);
  link?.copy(block, 157, 0, 100);
  block.write("ustar\u000000", 257);
  block.write(octal(node.device?.major ?? 0, 8, "SCHILY.devmajor"), 329);
  block.write(octal(node.device?.minor ?? 0, 8, "SCHILY.devminor"), 337);
  // GNU tar's way: mksquashfs 4.5 strips a leading slash from a pax record "linkpath".
  if (link !== undefined && link.length > 100) yield* before("K", Buffer.concat([link, Buffer.alloc(1)]));
  if (records.length > 0) yield* before("x", Buffer.concat(records));
  yield seal(block);
}

/** A header and content that say something about the entry that follows. */
function* before(typeFlag: "x" | "K", content: Buffer): Generator<Buffer> {
  const block = Buffer.alloc(512);
  block.write("././@LongLink", 0);
  block.write("0000644\u00000000000\u00000000000\u0000", 100);
  block.write(content.length.toString(8).padStart(11, "0"), 124);
  block.write("00000000000", 136);
  block.write(typeFlag, 156);
  block.write("ustar\u000000", 257);
  yield seal(block);
  yield Buffer.concat([content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}

/** Fills in the checksum: the sum of the header's bytes with the field itself as blanks. */
function seal(block: Buffer): Buffer {
  block.fill(" ", 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\u0000 `, 148, "latin1");
  return block;
}
