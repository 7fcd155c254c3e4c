/**
 * Virtual disks whose identifiers derive from a seed: qemu-img gives VMDK and VHDX files random ones.
 * @module
 */
import { createHmac } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { FormatError } from "@imgtool/core";
import { crc32c } from "../crc32.ts";

/** Formats of virtual machines that a raw disk is converted to. */
export type VirtualDiskFormat = "qcow2" | "vmdk" | "vhdx";

/**
 * Replaces the random identifiers of a file that qemu-img made.
 * @param seed UUID that they derive from
 * @throws FormatError `virtual-disk-invalid`
 */
export function fixIdentifiers(path: string, format: VirtualDiskFormat, seed: string): void {
  // A qcow2 file has none.
  if (format === "qcow2") return;
  const file = openSync(path, "r+");
  try {
    if (format === "vmdk") fixVmdk(file, path, seed);
    else fixVhdx(file, path, seed);
  } finally {
    closeSync(file);
  }
}

function derive(seed: string, purpose: string, length: number): Buffer {
  return createHmac("sha256", seed).update(purpose).digest().subarray(0, length);
}

/** VMware's "Virtual Disk Format 5.0": the descriptor, a text in sectors of its own, has a content id. */
function fixVmdk(file: number, path: string, seed: string): void {
  const header = read(file, 0, 512);
  if (header.toString("latin1", 0, 4) !== "KDMV") throw invalid(path, "a sparse VMDK file");
  const [offset, size] = [Number(header.readBigUInt64LE(28)) * 512, Number(header.readBigUInt64LE(36)) * 512];
  if (offset === 0 || size === 0 || size > 1024 ** 2) throw invalid(path, "a descriptor within the file");
  const descriptor = read(file, offset, size);
  const match = /^CID=[0-9a-f]{1,8}$/m.exec(descriptor.toString("latin1"));
  if (match === null) throw invalid(path, "a content id in the descriptor");
  // The highest value says that a disk has no parent.
  const identifier = derive(seed, "vmdk-cid", 4);
  identifier[0] = (identifier[0] ?? 0) & 0x7f;
  // qemu-img writes no leading zeros: the text behind it moves, into the zeros at the descriptor's end.
  const text = descriptor.toString("latin1").replace(match[0], `CID=${identifier.toString("hex")}`);
  const bytes = Buffer.alloc(size);
  bytes.write(text.replace(/\0+$/, ""), "latin1");
  writeSync(file, bytes, 0, size, offset);
}

const regionMetadata = Buffer.from("06a27c8b90479a4bb8fe575f050f886e", "hex");
const itemPage83 = Buffer.from("ab12cabee6b22345 93efc309e000c746".replace(" ", ""), "hex");

/** Microsoft's MS-VHDX: two headers with a checksum each, and the disk's identifier among the metadata. */
function fixVhdx(file: number, path: string, seed: string): void {
  const headers = [64 * 1024, 128 * 1024].map((offset) => ({ offset, bytes: read(file, offset, 4096) }));
  const numbers = headers.map(({ bytes }) => bytes.readBigUInt64LE(8));
  for (const [index, { offset, bytes }] of headers.entries()) {
    if (bytes.toString("latin1", 0, 4) !== "head") throw invalid(path, "a VHDX header");
    // The header with the higher number counts; qemu-img begins with a random one.
    const isNewer = (numbers[index] ?? 0n) > (numbers[1 - index] ?? 0n);
    bytes.writeBigUInt64LE(isNewer ? 2n : 1n, 8);
    derive(seed, "vhdx-file-write", 16).copy(bytes, 16);
    derive(seed, "vhdx-data-write", 16).copy(bytes, 32);
    if (bytes.subarray(48, 64).some((byte) => byte !== 0)) throw invalid(path, "a log with nothing to do");
    clearLog(file, path, Number(bytes.readBigUInt64LE(72)), bytes.readUInt32LE(68));
    bytes.writeUInt32LE(0, 4);
    bytes.writeUInt32LE((crc32c(bytes) ^ 0xffff_ffff) >>> 0, 4);
    writeSync(file, bytes, 0, bytes.length, offset);
  }
  const regions = read(file, 192 * 1024, 64 * 1024);
  const region = find(regions, 16, 32, regions.readUInt32LE(8), regionMetadata);
  if (region === undefined) throw invalid(path, "a region of metadata");
  const start = Number(region.readBigUInt64LE(16));
  const metadata = read(file, start, 64 * 1024);
  const item = find(metadata, 32, 32, metadata.readUInt16LE(10), itemPage83);
  if (item === undefined) throw invalid(path, "the disk's identifier");
  writeSync(file, derive(seed, "vhdx-disk", 16), 0, 16, start + item.readUInt32LE(16));
}

/** What was logged and is done holds random identifiers, too. */
function clearLog(file: number, path: string, offset: number, length: number): void {
  if (length > 64 * 1024 ** 2 || offset + length > fstatSync(file).size) throw invalid(path, "a log within the file");
  writeSync(file, Buffer.alloc(length), 0, length, offset);
}

/** The entry of a table that begins with an identifier. */
function find(table: Buffer, first: number, size: number, count: number, identifier: Buffer): Buffer | undefined {
  for (let index = 0; index < count; index++) {
    const entry = table.subarray(first + index * size, first + (index + 1) * size);
    if (entry.length === size && entry.subarray(0, 16).equals(identifier)) return entry;
  }
  return undefined;
}

function read(file: number, offset: number, length: number): Buffer {
  const size = fstatSync(file).size;
  const bytes = Buffer.alloc(Math.max(0, Math.min(length, size - offset)));
  readSync(file, bytes, 0, bytes.length, offset);
  return bytes.length === length ? bytes : Buffer.concat([bytes, Buffer.alloc(length - bytes.length)]);
}

function invalid(path: string, expected: string): FormatError {
  return new FormatError(`${path}: expected ${expected}, found none`, {
    code: "virtual-disk-invalid",
    hint: "another version of qemu-img may write another form",
    data: { path, expected },
  });
}
