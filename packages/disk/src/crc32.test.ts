import { crc32 as zlibCrc32 } from "node:zlib";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { crc32, crc32c } from "./crc32.ts";

test("the check values of the CRC catalogue", () => {
  const check = Buffer.from("123456789");
  expect(crc32(check)).toBe(0xcbf43926);
  expect((crc32c(check) ^ 0xffffffff) >>> 0).toBe(0xe3069283);
});

test("CRC-32 is zlib's, and CRC-32C goes on from where it stopped", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 50 }), fc.nat(50), (bytes, at) => {
      expect(crc32(bytes)).toBe(zlibCrc32(bytes));
      expect(crc32c(bytes.subarray(at), crc32c(bytes.subarray(0, at)))).toBe(crc32c(bytes));
    }),
  );
});
