import { FormatError } from "@imgtool/core";
import { randomBytes } from "@imgtool/testkit";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { ChunkIndex } from "./chunk-index.ts";
import { decodeIndex } from "./index-decode.ts";
import { encodeIndex, IndexEncoder } from "./index-encode.ts";
import { blobFlags, indexFileSize } from "./index-layout.ts";
import { chunkSizes, maxChunkSize } from "./sizes.ts";

const sizes = chunkSizes({ avg: 1000 });

function indexOf(lengths: readonly number[], flags: bigint = blobFlags()): ChunkIndex {
  let end = 0;
  return new ChunkIndex({
    flags,
    sizes,
    ends: Float64Array.from(lengths, (length) => (end += length)),
    ids: randomBytes(lengths.length * 32, "ids"),
  });
}

test("an empty index has 104 bytes and casync's default flags", () => {
  const bytes = encodeIndex(indexOf([]));
  expect(bytes).toHaveLength(104);
  expect(blobFlags()).toBe(0xb000_0000_0000_0000n);
  expect(blobFlags("sha256")).toBe(0x9000_0000_0000_0000n);
  expect(decodeIndex(bytes)).toMatchObject({ count: 0, totalSize: 0, digest: "sha512-256", sizes });
});

test("an index is read as it was written", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 4000 }), { maxLength: 100 }), fc.boolean(), (lengths, sha256) => {
      const index = indexOf(lengths, blobFlags(sha256 ? "sha256" : "sha512-256"));
      const bytes = encodeIndex(index);
      const read = decodeIndex(bytes);
      expect(read).toMatchObject({ flags: index.flags, sizes, count: lengths.length, totalSize: index.totalSize });
      expect(read.digest).toBe(sha256 ? "sha256" : "sha512-256");
      for (const [i, length] of lengths.entries()) {
        expect([read.size(i), read.start(i) + length, read.name(i)]).toEqual([length, read.end(i), index.name(i)]);
        expect([read.find(read.start(i)), read.find(read.end(i) - 1)]).toEqual([i, i]);
      }
      expect(encodeIndex(read)).toEqual(bytes);
    }),
  );
});

test("streams beyond 4 GiB keep their offsets", () => {
  const encoder = new IndexEncoder(blobFlags(), chunkSizes({ avg: maxChunkSize }));
  const parts = [encoder.head()];
  for (let i = 0; i < 100; i++) parts.push(encoder.entry(maxChunkSize, randomBytes(32, String(i))));
  parts.push(encoder.tail());
  expect(decodeIndex(Buffer.concat(parts)).totalSize).toBe(100 * maxChunkSize);
});

test("the encoder refuses chunks that no reader would take", () => {
  const encoder = new IndexEncoder(blobFlags(), sizes);
  for (const size of [0, -1, 1.5, 4001]) expect(() => encoder.entry(size, new Uint8Array(32))).toThrow(RangeError);
  expect(() => encoder.entry(1, new Uint8Array(31))).toThrow(RangeError);
});

/** What is done to an index of three chunks, the word that says so, and what the error names. */
const damages: readonly (readonly [string, (view: DataView) => void, Readonly<Record<string, unknown>>])[] = [
  ["header size", (view) => view.setUint8(0, 47), { code: "index-invalid", offset: 0 }],
  ["type of an archive", (view) => view.setBigUint64(8, 0x1396fabcea5bbb51n, true), { offset: 8 }],
  [
    "unknown flag",
    (view) => view.setBigUint64(16, blobFlags() | (1n << 40n), true),
    { code: "index-flags-unknown", offset: 16 },
  ],
  ["minimum of 0", (view) => view.setBigUint64(24, 0n, true), { offset: 24 }],
  ["average of 0", (view) => view.setBigUint64(32, 0n, true), { offset: 32 }],
  ["maximum above 128 MiB", (view) => view.setBigUint64(40, BigInt(maxChunkSize + 1), true), { offset: 40 }],
  ["maximum of 2^64 - 1", (view) => view.setBigUint64(40, 2n ** 64n - 1n, true), { offset: 40 }],
  ["minimum above average", (view) => view.setBigUint64(24, 1001n, true), { offset: 24 }],
  ["maximum below average", (view) => view.setBigUint64(40, 999n, true), { offset: 40 }],
  ["table size", (view) => view.setBigUint64(48, 136n, true), { offset: 48 }],
  ["table type", (view) => view.setUint8(56, 0), { offset: 56 }],
  ["chunk of no length", (view) => view.setBigUint64(104, 900n, true), { offset: 104 }],
  ["chunk that ends before it begins", (view) => view.setBigUint64(104, 1n, true), { offset: 104 }],
  ["chunk larger than the maximum", (view) => view.setBigUint64(64, 4001n, true), { offset: 64, found: 4001 }],
  ["offset beyond 2^53", (view) => view.setBigUint64(144, 2n ** 63n, true), { offset: 144 }],
  ["tail: first word", (view) => view.setUint8(184, 1), { offset: 184 }],
  ["tail: second word", (view) => view.setUint8(192, 1), { offset: 192 }],
  ["tail: table offset", (view) => view.setUint8(200, 49), { offset: 200 }],
  ["tail: table size", (view) => view.setBigUint64(208, 0n, true), { offset: 208 }],
  ["tail mark", (view) => view.setUint8(216, 0), { code: "index-truncated", offset: 216 }],
];

test.each(damages)("%s is refused with its offset", (_, damage, facts) => {
  const bytes = encodeIndex(indexOf([900, 900, 900]));
  damage(new DataView(bytes.buffer));
  const { code = "index-invalid", ...data } = facts;
  expect(() => decodeIndex(bytes, { name: "x.caibx" })).toThrow(
    expect.objectContaining({ code, data: expect.objectContaining({ file: "x.caibx", ...data }) }),
  );
});

test("every truncation and every longer file is refused", () => {
  const bytes = encodeIndex(indexOf([900, 900]));
  for (let length = 0; length < bytes.length; length++) {
    expect(() => decodeIndex(bytes.subarray(0, length))).toThrow(FormatError);
  }
  for (const extra of [1, 8, 40]) {
    const longer = new Uint8Array(bytes.length + extra);
    longer.set(bytes);
    expect(() => decodeIndex(longer)).toThrow(FormatError);
  }
});

/** What is read from the bytes, written again; the bytes themselves when they are refused. */
function writtenAgain(bytes: Uint8Array): Uint8Array {
  try {
    return encodeIndex(decodeIndex(bytes));
  } catch (error) {
    if (error instanceof FormatError) return bytes;
    throw error;
  }
}

test("random damage is refused or read, never anything else", () => {
  const bytes = encodeIndex(indexOf([900, 1, 4000, 17]));
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const damaged = bytes.slice();
      damaged[at] = (damaged[at] as number) ^ change;
      expect(writtenAgain(damaged)).toEqual(damaged);
    }),
  );
});

test("a million chunks are read within a second from 40 bytes each", () => {
  const count = 1_000_000;
  const index = new ChunkIndex({
    flags: blobFlags(),
    sizes,
    ends: Float64Array.from({ length: count }, (_, i) => (i + 1) * 1000),
    ids: new Uint8Array(count * 32),
  });
  const bytes = encodeIndex(index);
  expect(bytes).toHaveLength(indexFileSize(count));
  expect(decodeIndex(bytes).totalSize).toBe(count * 1000);
});
