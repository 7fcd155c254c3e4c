/**
 * The table of packs: which chunk lies where in which of an artifact's packs. Little-endian:
 *
 *     "imgtool packs 1\n"                    16 bytes
 *     for each chunk, sorted by its id:
 *       id                                   32 bytes
 *       pack, from 0 in the manifest's order u32
 *       1 when the chunk is compressed       u32
 *       offset in the pack, in bytes         u64
 *       length there, in bytes               u64
 * @module
 */
import { FormatError, fromHex, toHex } from "@imgtool/core";
import type { ChunkName } from "../store.ts";

export interface PackedPlace {
  /** Position of the pack among the artifact's. */
  readonly pack: number;
  readonly compressed: boolean;
  readonly offset: number;
  readonly length: number;
}

const magic: Buffer = Buffer.from("imgtool packs 1\n");
const entrySize = 56;

/** The largest table that is read: of ten million chunks. */
export const maxTableBytes: number = 560 * 1024 ** 2;

/** Encodes a table. */
export function encodePackTable(chunks: ReadonlyMap<ChunkName, PackedPlace>): Uint8Array {
  const bytes = Buffer.alloc(magic.length + chunks.size * entrySize);
  magic.copy(bytes);
  let at = magic.length;
  for (const [name, { pack, compressed, offset, length }] of [...chunks].sort(([a], [b]) => (a < b ? -1 : 1))) {
    bytes.set(fromHex(name), at);
    bytes.writeUInt32LE(pack, at + 32);
    bytes.writeUInt32LE(compressed ? 1 : 0, at + 36);
    bytes.writeBigUInt64LE(BigInt(offset), at + 40);
    bytes.writeBigUInt64LE(BigInt(length), at + 48);
    at += entrySize;
  }
  return bytes;
}

/**
 * Decodes a table.
 * @param packs lengths of the packs, in bytes
 * @throws FormatError `pack-table-invalid` for what is no table, or one that leads out of the packs
 */
export function* decodePackTable(
  bytes: Uint8Array,
  packs: readonly number[],
): Generator<readonly [ChunkName, PackedPlace], void> {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!view.subarray(0, magic.length).equals(magic) || (view.length - magic.length) % entrySize !== 0)
    throw invalid("a table of packs", `${view.length} bytes of something else`);
  for (let at = magic.length; at < view.length; at += entrySize) {
    const pack = view.readUInt32LE(at + 32);
    const flags = view.readUInt32LE(at + 36);
    const offset = Number(view.readBigUInt64LE(at + 40));
    const length = Number(view.readBigUInt64LE(at + 48));
    const size = packs[pack] ?? -1;
    if (flags > 1 || length === 0 || offset + length > size)
      throw invalid(
        `a chunk in one of ${packs.length} packs`,
        `${length} bytes at ${offset} of pack ${pack}, of ${size}`,
      );
    yield [toHex(view.subarray(at, at + 32)), { pack, compressed: flags === 1, offset, length }];
  }
}

function invalid(expected: string, found: string): FormatError {
  return new FormatError(`the table of packs is damaged: expected ${expected}, found ${found}`, {
    code: "pack-table-invalid",
    data: { expected, found },
  });
}
