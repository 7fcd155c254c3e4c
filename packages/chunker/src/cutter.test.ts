import { randomBytes } from "@imgtool/testkit";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { buzhashTable } from "./buzhash-table.ts";
import { Cutter } from "./cutter.ts";
import { CutterMemory, PlainScan, rollingScan, WasmScan } from "./rolling-scan.ts";
import { chunkSizes, type ChunkSizes, discriminator, windowSize } from "./sizes.ts";

/** Lengths of the chunks of a stream that comes in the given slices. */
function cutSlices(slices: readonly Uint8Array[], sizes: ChunkSizes, cutter = new Cutter(sizes)): number[] {
  const lengths: number[] = [];
  let length = 0;
  for (const slice of slices) {
    let from = 0;
    for (let cut = cutter.next(slice, from); cut >= 0; cut = cutter.next(slice, from)) {
      lengths.push(length + cut);
      length = 0;
      from += cut;
    }
    length += slice.length - from;
    expect(cutter.pending).toBe(length);
  }
  if (length > 0) lengths.push(length);
  return lengths;
}

/** The rule as its definition reads, without rolling: the hash of every window from its 48 bytes. */
function cutPlainly(stream: Uint8Array, sizes: ChunkSizes): number[] {
  const d = discriminator(sizes);
  const first = Math.max(sizes.min, windowSize);
  const lengths: number[] = [];
  for (let start = 0; start < stream.length;) {
    let length = first;
    for (; start + length < stream.length && length < sizes.max; length++) {
      let hash = 0;
      for (let i = 0; i < windowSize; i++) {
        const value = buzhashTable[stream[start + length - windowSize + i] as number] as number;
        const rotation = (windowSize - 1 - i) % 32;
        hash ^= rotation === 0 ? value : (value << rotation) | (value >>> (32 - rotation));
      }
      if ((hash >>> 0) % d === d - 1) break;
    }
    length = Math.min(length, stream.length - start);
    lengths.push(length);
    start += length;
  }
  return lengths;
}

const anySizes: fc.Arbitrary<ChunkSizes> = fc
  .tuple(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 0, max: 500 }), fc.integer({ min: 0, max: 3000 }))
  .map(([min, more, evenMore]) => ({ min, avg: min + more, max: min + more + evenMore }))
  .filter((sizes) => sizes.max >= windowSize && sizes.min < sizes.max);

test("cuts are where the definition puts them", () => {
  fc.assert(
    fc.property(
      anySizes,
      fc.string({ minLength: 1, maxLength: 3 }),
      fc.integer({ min: 0, max: 6000 }),
      (sizes, seed, length) => {
        const stream = randomBytes(length, seed);
        expect(cutSlices([stream], sizes)).toEqual(cutPlainly(stream, sizes));
      },
    ),
    { numRuns: 200 },
  );
});

test("the loop in JavaScript cuts where the one in WebAssembly cuts", () => {
  expect(rollingScan({ inverse: 1, shift: 0, limit: 1 })).toBeInstanceOf(WasmScan);
  expect(rollingScan({ inverse: 1, shift: 0, limit: 1 }, new CutterMemory(70_000))).toBeInstanceOf(WasmScan);
  const stream = randomBytes(500_000, "loops");
  // discriminators: odd, even, a power of two, and 1, by which every hash is divisible
  for (const sizes of [
    chunkSizes(),
    { min: 64, avg: 1000, max: 9000 },
    { min: 2048, avg: 2048, max: 9000 },
    { min: 1, avg: 1, max: 50 },
  ]) {
    const plain = new Cutter(sizes, undefined, (test) => new PlainScan(test));
    expect(cutSlices([stream], sizes, plain)).toEqual(cutSlices([stream], sizes));
  }
});

test("cuts do not depend on the slices the stream comes in", () => {
  fc.assert(
    fc.property(
      anySizes,
      fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 60 }),
      fc.boolean(),
      (sizes, lengths, zeros) => {
        const total = lengths.reduce((sum, length) => sum + length, 0);
        const stream = zeros ? new Uint8Array(total) : randomBytes(total, String(total));
        let at = 0;
        const slices = lengths.map((length) => stream.subarray(at, (at += length)));
        expect(cutSlices(slices, sizes)).toEqual(cutSlices([stream], sizes));
      },
    ),
    { numRuns: 300 },
  );
});

test("bytes in a cutter's memory, a ring, are cut as others are", () => {
  const capacity = 3000;
  // one for all runs: engines do not like many of them
  const memory = new CutterMemory(capacity);
  fc.assert(
    fc.property(
      anySizes,
      fc.array(fc.integer({ min: 0, max: 1500 }), { maxLength: 30 }),
      fc.boolean(),
      fc.boolean(),
      (sizes, lengths, isPlain, zeros) => {
        const cutter = new Cutter(sizes, memory, isPlain ? (test) => new PlainScan(test) : rollingScan);
        const total = lengths.reduce((sum, length) => sum + length, 0);
        const stream = zeros ? new Uint8Array(total) : randomBytes(total, `${total} in a ring`);
        const ends: number[] = [];
        let written = 0;
        let cut = 0;
        for (const length of lengths) {
          for (let i = 0; i < length; i++, written++) memory.bytes[written % capacity] = stream[written] ?? 0;
          while (cut < written) {
            const offset = cut % capacity;
            const part = Math.min(written - cut, capacity - offset);
            const count = cutter.next(memory.bytes, offset, offset + part);
            cut += count < 0 ? part : count;
            if (count >= 0) ends.push(cut);
          }
        }
        if ((ends.at(-1) ?? 0) < total) ends.push(total);
        let end = 0;
        expect(ends).toEqual(cutSlices([stream], sizes).map((length) => (end += length)));
      },
    ),
    { numRuns: 150 },
  );
});

test("byte by byte is as good as all at once", () => {
  const stream = randomBytes(300_000, "bytes");
  const sizes = chunkSizes({ avg: 4096 });
  const bytes = Array.from(stream, (_, i) => stream.subarray(i, i + 1));
  expect(cutSlices(bytes, sizes)).toEqual(cutSlices([stream], sizes));
});

test("an insertion moves the cuts near it and no others", () => {
  const stream = randomBytes(1_000_000, "stable");
  const changed = new Uint8Array(stream.length + 1);
  changed.set(stream.subarray(0, 500_000));
  changed.set(stream.subarray(500_000), 500_001);
  const sizes = chunkSizes({ avg: 8192 });
  expect(cutSlices([changed], sizes).slice(-10)).toEqual(cutSlices([stream], sizes).slice(-10));
});

test("reset forgets the chunk under way", () => {
  const cutter = new Cutter(chunkSizes({ avg: 1000 }));
  const stream = randomBytes(20_000, "reset");
  const fresh = cutter.next(stream);
  cutter.next(stream, fresh, fresh + 200);
  expect(cutter.pending).toBe(200);
  cutter.reset();
  expect(cutter.next(stream)).toBe(fresh);
});

test("equal sizes cut pieces of that size, even below the hash window", () => {
  const sizes = chunkSizes({ min: 20, avg: 20, max: 20 });
  expect(cutSlices([new Uint8Array(7), new Uint8Array(33), new Uint8Array(5)], sizes)).toEqual([20, 20, 5]);
});
