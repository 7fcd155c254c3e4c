import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { randomBytes, temporaryFolder } from "@imgtool/testkit";
import { decodeIndex } from "@imgtool/chunker";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { makeBlob } from "./make-blob.ts";

const megabyte = 1024 ** 2;

/** A file of the length with random bytes at some places, and holes between them. */
function makeSparse(path: string, length: number, data: readonly (readonly [offset: number, length: number])[]): void {
  const descriptor = openSync(path, "w");
  ftruncateSync(descriptor, length);
  for (const [offset, count] of data) {
    const bytes = randomBytes(Math.max(Math.min(count, length - offset), 0), `sparse ${offset}`);
    writeSync(descriptor, bytes, 0, bytes.length, offset);
  }
  closeSync(descriptor);
}

test("a file with holes has the index that its bytes have", async () => {
  using folder = temporaryFolder();
  const path = folder.join("sparse");
  const index = folder.join("o.caibx");
  const store = folder.join("s");
  const place = fc.tuple(fc.integer({ min: 0, max: 24 * megabyte }), fc.integer({ min: 1, max: 300_000 }));
  // the last: chunks whose maximum is no power of two, and pieces of a fixed size
  const sizes = fc.constantFrom(
    { avg: 65_536 },
    { avg: 4096 },
    { min: 10_000, avg: 30_000, max: 100_001 },
    { min: 9999, avg: 9999, max: 9999 },
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(place, { maxLength: 4 }),
      fc.integer({ min: 17 * megabyte, max: 24 * megabyte }),
      sizes,
      async (data, length, chunkSizes) => {
        makeSparse(path, length, data);
        const made = await makeBlob({ source: path, index, store, chunkSizes, durable: false });
        expect(made.size).toBe(length);
        const sparse = readFileSync(index);
        // a stream has no holes
        async function* bytes(): AsyncGenerator<Uint8Array> {
          yield readFileSync(path);
        }
        const plain = await makeBlob({ source: bytes(), index, store, chunkSizes, durable: false });
        expect(readFileSync(index).equals(sparse)).toBe(true);
        expect([plain.chunks, plain.newChunks]).toEqual([made.chunks, 0]);
      },
    ),
    { numRuns: 6 },
  );
}, 120_000);

test("20 GiB of nothing cost no more than their index", async () => {
  using folder = temporaryFolder();
  const path = folder.join("sparse");
  const length = 20 * 1024 ** 3 + 12_345;
  makeSparse(path, length, [
    [0, 100_000],
    [7 * 1024 ** 3 + 777, 3_000_000],
  ]);
  const made = await makeBlob({ source: path, index: folder.join("o.caibx"), store: folder.join("s"), durable: false });
  expect(made.size).toBe(length);
  const index = decodeIndex(readFileSync(folder.join("o.caibx")));
  expect(index.totalSize).toBe(length);
  expect(index.count).toBe(made.chunks);
  expect(new Set(Array.from({ length: index.count }, (_, i) => index.name(i))).size).toBe(made.newChunks);
  expect(made.newChunks).toBeLessThan(150);
});
