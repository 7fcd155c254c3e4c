import * as fc from "fast-check";
import { expect, test } from "vitest";
import { chunkTypes } from "./format.ts";
import { DataSpace, dataStart, freeRanges, stepOver, superblocks } from "./space.ts";

/** What is wrong with the extents for runs of so many sectors; an empty list when nothing is. */
function faults(runs: readonly number[]): string[] {
  const space = new DataSpace();
  const found: string[] = [];
  let at = dataStart;
  for (const sectors of runs) {
    // Those of compressed pieces are never cut.
    const extents = sectors < 32 ? [space.allocateWhole(sectors * 4096)] : space.allocate(sectors * 4096);
    if (extents.reduce((sum, { length }) => sum + length, 0) !== sectors * 4096) found.push("not all");
    for (const { start, length } of extents) {
      if (start < at || start % 4096 !== 0) found.push(`${start}: not after ${at}`);
      if (length <= 0 || length > 128 * 1024 ** 2) found.push(`${start}: ${length} bytes`);
      if (stepOver(start, length) !== start) found.push(`${start}: on a superblock`);
      const home = space.chunks().find((chunk) => start >= chunk.start && start < chunk.start + chunk.length);
      if (home === undefined || start + length > home.start + home.length) found.push(`${start}: leaves its chunk`);
      at = start + length;
    }
  }
  return found;
}

test("extents lie within their chunks, beside the superblocks, in order", () => {
  const runs = fc.array(fc.oneof(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 2 ** 26 })), {
    maxLength: 12,
  });
  fc.assert(
    fc.property(runs, (sectors) => {
      expect(faults(sectors)).toEqual([]);
    }),
  );
});

test("what is free is what is not used", () => {
  const chunk = { start: 100, length: 100, type: chunkTypes.data };
  expect(freeRanges(chunk, [])).toEqual([{ start: 100, length: 100 }]);
  expect(freeRanges(chunk, [{ start: 0, length: 300 }])).toEqual([]);
  const used = [
    { start: 50, length: 60 },
    { start: 120, length: 10 },
    { start: 130, length: 5 },
    { start: 190, length: 20 },
  ];
  expect(freeRanges(chunk, used)).toEqual([
    { start: 110, length: 10 },
    { start: 135, length: 55 },
  ]);
});

test("addresses on a superblock's 64 KiB are stepped over", () => {
  const [, copy = 0] = superblocks;
  expect(stepOver(copy - 4096, 4096)).toBe(copy - 4096);
  expect(stepOver(copy - 4096, 8192)).toBe(copy + 65_536);
  expect(stepOver(copy + 65_536, 1)).toBe(copy + 65_536);
});
