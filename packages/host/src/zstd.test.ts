import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { randomBytes } from "@imgtool/testkit";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { openZstd, type Zstd, zstdBound } from "./zstd.ts";

function contexts(): Zstd {
  const zstd = openZstd();
  if (zstd === undefined) throw new Error("the Node.js that the project brings offers no libzstd");
  return zstd;
}

/** Bytes that compress to some part of their length, or not at all. */
const content = fc
  .tuple(fc.integer({ min: 0, max: 200_000 }), fc.integer({ min: 1, max: 200_000 }), fc.string())
  .map(([length, period, seed]) => {
    const random = randomBytes(Math.min(length, period), seed);
    return Uint8Array.from({ length }, (_, i) => random[i % period] ?? 0);
  });

test("kept contexts give the bytes that node:zlib gives, in shared memory as well", () => {
  const zstd = contexts();
  const level = fc.integer({ min: 1, max: 9 });
  fc.assert(
    fc.property(content, level, fc.boolean(), (bytes, levelNow, isShared) => {
      const source = isShared ? new Uint8Array(new SharedArrayBuffer(bytes.length + 9)).subarray(9) : bytes;
      source.set(bytes);
      const target = Buffer.alloc(zstdBound(bytes.length));
      const compressed = target.subarray(0, zstd.compress(source, levelNow, target));
      const params = { [constants.ZSTD_c_compressionLevel]: levelNow };
      expect(compressed.equals(zstdCompressSync(bytes, { params, pledgedSrcSize: bytes.length }))).toBe(true);
      const plain = new Uint8Array(new SharedArrayBuffer(bytes.length + 5)).subarray(3);
      expect(zstd.decompress(compressed, plain)).toBe(bytes.length);
      expect(Buffer.compare(plain.subarray(0, bytes.length), bytes)).toBe(0);
      // neither a byte behind the end, nor one before
      expect(plain.at(-1)).toBe(0);
      const short = plain.subarray(0, Math.max(bytes.length - 1, 0));
      expect(zstd.decompress(compressed, short)).toBe(bytes.length === 0 ? 0 : -1);
    }),
    { numRuns: 40 },
  );
});

test("damaged bytes are an error or other bytes, never more than there is room for", () => {
  const zstd = contexts();
  const plain = Buffer.concat([randomBytes(5000, "damaged"), Buffer.alloc(20_000, "imgtool ")]);
  const whole = zstdCompressSync(plain);
  const target = Buffer.alloc(plain.length + 1000, 0xaa);
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), fc.boolean(), (at, change, isCut) => {
      const bytes = Uint8Array.from(isCut ? whole.subarray(0, at) : whole);
      if (!isCut) bytes[at] = (bytes[at] ?? 0) ^ change;
      const attempt = (): number | string => {
        try {
          return zstd.decompress(bytes, target.subarray(0, plain.length));
        } catch (error) {
          return String(error);
        }
      };
      const result = attempt();
      expect(typeof result === "number" ? result <= plain.length : /zstd error \d+/.test(result)).toBe(true);
      expect(target.subarray(plain.length).every((byte) => byte === 0xaa)).toBe(true);
    }),
    { numRuns: 200 },
  );
  expect(zstdDecompressSync(whole).equals(plain)).toBe(true);
  expect(() => zstd.decompress(Buffer.concat([whole, Buffer.from("more")]), target)).toThrow("zstd error");
});
