import { ConfigError } from "@imgtool/core";
import { expect, test } from "vitest";
import { chunkSizes, discriminator, maxChunkSize, parseChunkSizes } from "./sizes.ts";

const mebibyte = 1024 ** 2;

test("what is not given follows from what is, as in casync", () => {
  expect(chunkSizes()).toEqual({ min: 16384, avg: 65536, max: 262144 });
  expect(chunkSizes({ avg: 1000 })).toEqual({ min: 250, avg: 1000, max: 4000 });
  expect(chunkSizes({ avg: 64 * mebibyte })).toEqual({ min: 16 * mebibyte, avg: 64 * mebibyte, max: maxChunkSize });
  expect(chunkSizes({ min: 1024 })).toEqual({ min: 1024, avg: 4096, max: 16384 });
  expect(chunkSizes({ max: 4096 })).toEqual({ min: 256, avg: 1024, max: 4096 });
  expect(chunkSizes({ min: 1024, max: 4096 })).toEqual({ min: 1024, avg: 2048, max: 4096 });
});

test("sizes are parsed as casync's --chunk-size has them", () => {
  expect(parseChunkSizes("auto")).toEqual(chunkSizes());
  expect(parseChunkSizes("64K")).toEqual(chunkSizes());
  expect(parseChunkSizes("16K:1M:2M")).toEqual({ min: 16384, avg: mebibyte, max: 2 * mebibyte });
});

test.each(["", "x", "0", "129M", "16K:64K", ":64K:", "64K:", "2:1:300", "100:300:200", "1:2:3", "10", "1:2:3:4"])(
  "%j is refused",
  (text) => {
    expect(() => parseChunkSizes(text)).toThrow(ConfigError);
  },
);

test.each([Number.NaN, 0.5, -1, Infinity, maxChunkSize + 1])("an average of %d bytes is refused", (avg) => {
  expect(() => chunkSizes({ avg })).toThrow(/avg chunk size is/);
});

test("the discriminator is held within minimum and maximum", () => {
  expect(discriminator(chunkSizes())).toBe(49535);
  expect(discriminator(chunkSizes({ avg: 8 * mebibyte }))).toBe(32 * mebibyte);
  expect(discriminator(chunkSizes({ avg: 16 * mebibyte }))).toBe(64 * mebibyte);
  expect(discriminator({ min: 60_000, avg: 65536, max: 65537 })).toBe(60_000);
});
