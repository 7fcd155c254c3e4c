/**
 * Encrypts a piece of a file in place: the part of the work that threads share.
 * @module
 */
import { readSync, writeSync } from "node:fs";
import { FormatError } from "@imgtool/core";
import { XtsEncryptor } from "./xts.ts";

/** Bytes per read and write. */
const batch = 1024 ** 2;

export interface EncryptTarget {
  /** File descriptor. */
  readonly file: number;
  /** Where sector 0 begins. */
  readonly offset: number;
  /** Bytes that are encrypted. */
  readonly size: number;
  /** Bytes of a piece: a multiple of 1 MiB. */
  readonly piece: number;
  readonly volumeKey: Uint8Array;
  readonly sectorSize: number;
}

/** Encrypts piece number `index`. */
export function encryptPiece(target: EncryptTarget, index: number): void {
  const { file, offset, sectorSize } = target;
  const encryptor = new XtsEncryptor(target.volumeKey, sectorSize);
  const buffer = new Uint8Array(batch);
  const end = Math.min(target.size, (index + 1) * target.piece);
  for (let start = index * target.piece; start < end; start += batch) {
    const bytes = buffer.subarray(0, Math.min(batch, end - start));
    const read = readSync(file, bytes, 0, bytes.length, offset + start);
    // A read of a regular file is only short at its end.
    if (read !== bytes.length)
      throw new FormatError(`what shall be encrypted ends early: expected ${bytes.length} bytes, found ${read}`, {
        code: "encrypt-data-short",
        data: { offset: offset + start, expected: bytes.length, found: read },
      });
    encryptor.encrypt(bytes, start / sectorSize);
    for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at, bytes.length - at, offset + start + at);
  }
}
