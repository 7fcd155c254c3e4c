import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FormatError } from "@imgtool/core";
import { randomBytes, temporaryFolder } from "@imgtool/testkit";
import { openLocalStore } from "@imgtool/store";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { dataExtents } from "./data-extents.ts";
import { ChunkSource } from "./chunk-source.ts";
import { concurrently } from "./concurrently.ts";
import { parseIndex, readIndex } from "./read-index.ts";
import { makeBlob } from "./make-blob.ts";
import { packError, unpackError } from "./packed-error.ts";
import { readStream } from "./read-stream.ts";
import { slices } from "./test-blobs.ts";
import { updateCost } from "./update-cost.ts";

test("data extents cover everything but whole pages of zeros", () => {
  const piece = fc.record({ length: fc.integer({ min: 1, max: 9000 }), zero: fc.boolean() });
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), fc.nat(20_000), (pieces, offset) => {
      const bytes = Buffer.concat(pieces.map(({ length, zero }) => Buffer.alloc(length, zero ? 0 : 1)));
      const restored = Buffer.alloc(bytes.length);
      let end = 0;
      for (const [from, to] of dataExtents(bytes, offset)) {
        expect(from).toBeGreaterThanOrEqual(end);
        bytes.copy(restored, from, from, to);
        end = to;
      }
      expect(restored.equals(bytes)).toBe(true);
      const written = dataExtents(bytes, offset).reduce((sum, [from, to]) => sum + to - from, 0);
      const ones = pieces.reduce((sum, { length, zero }) => sum + (zero ? 0 : length), 0);
      expect(written).toBeLessThanOrEqual(ones + 2 * 4096 * pieces.length);
    }),
  );
});

test("the limit of calls under way is kept, and the first failure ends the rest", async () => {
  let running = 0;
  let most = 0;
  let calls = 0;
  const work = async (i: number): Promise<void> => {
    calls++;
    most = Math.max(most, ++running);
    await new Promise((resolve) => setImmediate(resolve));
    running--;
    if (i === 20) throw new FormatError("twenty");
  };
  await expect(concurrently(1000, 7, undefined, work)).rejects.toThrow("twenty");
  expect(most).toBe(7);
  expect(calls).toBeLessThan(40);
  expect(running).toBe(0);
});

test("a stream is read in order, and an early end stops the requests", async () => {
  using folder = temporaryFolder();
  const content = randomBytes(1_000_000, "order");
  const made = { index: folder.join("o"), store: folder.join("s"), chunkSizes: { avg: 4096 } };
  await makeBlob({ ...made, source: slices(content, 50_000) });
  const index = await readIndex(made.index);
  const store = await openLocalStore(made.store);
  const parts: Uint8Array[] = [];
  for await (const part of readStream(new ChunkSource({ index, stores: [store] }))) parts.push(part);
  expect(Buffer.concat(parts).equals(content)).toBe(true);
  const source = new ChunkSource({ index, stores: [store] });
  for await (const part of readStream(source, { from: 3, requests: 4 })) {
    expect(Buffer.from(part).equals(content.subarray(index.start(3), index.end(3)))).toBe(true);
    break;
  }
  expect(source.counts.fromStores).toBeLessThanOrEqual(4);
});

test("an update costs the chunks that the former version lacks", async () => {
  using folder = temporaryFolder();
  const former = randomBytes(1_000_000, "former");
  const next = Uint8Array.from(former);
  next.fill(1, 400_000, 500_000);
  const store = folder.join("s");
  await makeBlob({ source: slices(former, 100_000), index: folder.join("1"), store });
  const made = await makeBlob({ source: slices(next, 100_000), index: folder.join("2"), store });
  const indexes = [await readIndex(folder.join("1")), await readIndex(folder.join("2"))] as const;
  const cost = await updateCost(...indexes, store);
  expect(cost).toMatchObject({ newChunks: made.newChunks, storedBytes: made.newBytes });
  expect(cost.newBytes).toBeGreaterThanOrEqual(100_000);
  expect(cost.newBytes).toBeLessThan(600_000);
  expect(await updateCost(...indexes, await openLocalStore(store))).toEqual(cost);
  const stored = readdirSync(store, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const storeSize = stored.reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
  expect((await updateCost(undefined, indexes[0], store)).storedBytes + cost.storedBytes).toBe(storeSize);
  expect(await updateCost(indexes[1], indexes[1], store)).toEqual({ newChunks: 0, newBytes: 0, storedBytes: 0 });
  expect((await updateCost(undefined, indexes[1], store)).newBytes).toBe(1_000_000);
});

test("indexes that are missing, damaged or no files are named", async () => {
  using folder = temporaryFolder();
  await expect(readIndex(folder.join("no"))).rejects.toMatchObject({ code: "index-missing" });
  await expect(readIndex(folder.path)).rejects.toMatchObject({ code: "index-not-readable" });
  writeFileSync(folder.join("short"), "short");
  const data = expect.objectContaining({ file: folder.join("short"), offset: 5 });
  await expect(readIndex(folder.join("short"))).rejects.toMatchObject({ code: "index-truncated", data });
});

test("errors come out of a thread as they went in", () => {
  const error = new FormatError("bad", { code: "x-y", hint: "do", data: { offset: 3 } });
  const copy = unpackError(structuredClone(packError(error)));
  expect(copy).toBeInstanceOf(FormatError);
  expect(copy).toMatchObject({ message: "bad", code: "x-y", hint: "do", data: { offset: 3 }, exitCode: 3 });
  const bug = new TypeError("a bug");
  expect(unpackError(packError(bug))).toMatchObject({ message: "a bug", stack: bug.stack });
});

test("an index is read from a URL, and flags that are not in normal form are refused", async () => {
  using folder = temporaryFolder();
  await makeBlob({
    source: slices(randomBytes(100_000, "url"), 9000),
    index: folder.join("o"),
    store: folder.join("s"),
  });
  const bytes = readFileSync(folder.join("o"));
  const asked: string[] = [];
  const load = async (url: string): Promise<Uint8Array> => {
    asked.push(url);
    return bytes;
  };
  const fromUrl = await readIndex("https://example.org/o.caibx", { load });
  expect(fromUrl.totalSize).toBe(100_000);
  expect(asked).toEqual(["https://example.org/o.caibx"]);
  // 16-bit and 32-bit uids at once: casync says "Invalid argument"
  bytes[16] = 3;
  expect(() => parseIndex(bytes, "o")).toThrow(FormatError);
});
