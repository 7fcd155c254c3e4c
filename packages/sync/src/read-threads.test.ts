import { appendFileSync, existsSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import type { ChunkIndex } from "@imgtool/chunker";
import { NetworkError } from "@imgtool/core";
import { chunkPath, openLocalStore, type ReadStore } from "@imgtool/store";
import { randomBytes, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { setTimeout } from "node:timers/promises";
import { expect, test } from "vitest";
import { ChunkSource } from "./chunk-source.ts";
import { extractBlob } from "./extract-blob.ts";
import { blobSeed, lazyBlobSeed } from "./file-seed.ts";
import { makeBlob } from "./make-blob.ts";
import { readIndex } from "./read-index.ts";
import { readStream } from "./read-stream.ts";
import { readWithThreads } from "./read-threads.ts";

// More than what is read without threads.
const content = randomBytes(9 * 1024 ** 2, "read by threads");

interface Published extends Disposable {
  readonly folder: TemporaryFolder;
  readonly index: ChunkIndex;
  readonly stores: readonly ReadStore[];
}

async function publish(): Promise<Published> {
  const folder = temporaryFolder();
  writeFileSync(folder.join("content"), content);
  const store = folder.join("s");
  await makeBlob({ source: folder.join("content"), index: folder.join("x.caibx"), store, durable: false });
  return {
    folder,
    index: await readIndex(folder.join("x.caibx")),
    stores: [await openLocalStore(store)],
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

async function collect(source: ChunkSource, borrow = false): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const bytes of readStream(source, { borrow })) parts.push(borrow ? Uint8Array.from(bytes) : bytes);
  return Buffer.concat(parts);
}

/** The same store as one elsewhere, whose files no thread can read. */
function elsewhere(store: ReadStore, get: ReadStore["get"] = (...args) => store.get(...args)): ReadStore {
  return { location: "elsewhere", has: (name) => store.has(name), get, close: () => store.close() };
}

test("threads give the chunks in order, whole, and count them", async () => {
  using published = await publish();
  const { index, stores } = published;
  for (const borrow of [false, true])
    for (const kind of [stores, stores.map((store) => elsewhere(store))]) {
      const source = new ChunkSource({ index, stores: kind });
      expect((await collect(source, borrow)).equals(content)).toBe(true);
      expect(source.counts).toMatchObject({ fromSeeds: 0, fromStores: index.count });
      expect(source.counts.bytesFetched).toBeGreaterThan(content.length);
      expect(source.counts.bytesFetched).toBeLessThan(content.length * 1.1);
    }
});

test("a store elsewhere may put chunks where the threads read them, or somewhere else", async () => {
  using published = await publish();
  const { folder, index } = published;
  const [store] = published.stores as [ReadStore];
  let used = 0;
  const placing = elsewhere(store, async (name, signal, maxBytes, memory) => {
    const chunk = await store.get(name, signal, maxBytes);
    if (chunk === undefined || memory === undefined || chunk.bytes.length > memory.length) return chunk;
    if (used++ % 3 === 0) return chunk;
    memory.set(chunk.bytes);
    return { ...chunk, bytes: memory.subarray(0, chunk.bytes.length) };
  });
  const output = folder.join("out");
  const result = await extractBlob({ index, stores: [placing], output });
  expect(readFileSync(output).equals(content)).toBe(true);
  expect(result).toMatchObject({ fromStores: index.count, fromSeeds: 0 });
  expect(used).toBe(index.count);
  expect((await collect(new ChunkSource({ index, stores: [placing] }))).equals(content)).toBe(true);
});

test("a store elsewhere that fails once is asked again; what it has altered is never used", async () => {
  using published = await publish();
  const { folder, index } = published;
  const [store] = published.stores as [ReadStore];
  const failed = new Set<string>();
  const failing = elsewhere(store, async (name, ...rest) => {
    if (failed.size < 5 && !failed.has(name)) {
      failed.add(name);
      throw new NetworkError("gone", { code: "test" });
    }
    return store.get(name, ...rest);
  });
  const output = folder.join("out");
  const result = await extractBlob({ index, stores: [failing], output });
  expect(readFileSync(output).equals(content)).toBe(true);
  expect(result).toMatchObject({ fromStores: index.count, fromSeeds: 0 });
  expect(failed.size).toBe(5);
  const lying = elsewhere(store, async (name, ...rest) => {
    const chunk = await store.get(name, ...rest);
    return name === index.name(7) ? { bytes: Buffer.from("altered"), compressed: false } : chunk;
  });
  await expect(extractBlob({ index, stores: [lying], output: folder.join("none") })).rejects.toThrow(
    expect.objectContaining({ code: "chunk-altered" }),
  );
  expect(existsSync(folder.join("none"))).toBe(false);
  // another store has it whole
  await extractBlob({ index, stores: [lying, store], output });
  expect(readFileSync(output).equals(content)).toBe(true);
});

test("a chunk that is altered or missing is told as without threads, or had from another store", async () => {
  using published = await publish();
  const { folder, index } = published;
  using others = await publish();
  const [first, second] = [3, index.count - 2].map((i) => folder.join("s", chunkPath(index.name(i))));
  rmSync(first ?? "");
  writeFileSync(first ?? "", "altered");
  await expect(collect(new ChunkSource(published))).rejects.toThrow(
    expect.objectContaining({ code: "chunk-altered", data: expect.objectContaining({ chunk: index.name(3) }) }),
  );
  rmSync(second ?? "");
  const both = { index, stores: [...published.stores, ...others.stores] };
  expect((await collect(new ChunkSource(both))).equals(content)).toBe(true);
  rmSync(first ?? "");
  await expect(collect(new ChunkSource(published))).rejects.toThrow(expect.objectContaining({ code: "chunk-missing" }));
});

test("a seed is read by threads, and one that has changed since costs a fetch", async () => {
  using published = await publish();
  const { folder, index, stores } = published;
  writeFileSync(folder.join("seed"), content);
  const seed = await blobSeed(folder.join("seed"), index);
  const source = new ChunkSource({ index, stores, seeds: [seed] });
  expect((await collect(source)).equals(content)).toBe(true);
  expect(source.counts).toMatchObject({ fromSeeds: index.count, fromStores: 0 });
  writeSync(openSync(folder.join("seed"), "r+"), Buffer.from("changed"), 0, 7, 5_000_000);
  const again = new ChunkSource({ index, stores, seeds: [seed] });
  expect((await collect(again)).equals(content)).toBe(true);
  expect(again.counts.fromStores).toBe(1);
  await seed.close();
});

test("an early end and an abort leave no thread waiting", async () => {
  using published = await publish();
  for await (const bytes of readStream(new ChunkSource(published))) if (bytes.length > 0) break;
  const controller = new AbortController();
  let chunks = 0;
  const reading = async (): Promise<void> => {
    for await (const bytes of readStream(new ChunkSource(published), { signal: controller.signal }))
      if (bytes.length > 0 && ++chunks === 3) controller.abort();
  };
  await expect(reading()).rejects.toThrow(expect.objectContaining({ code: "aborted" }));
  expect(chunks).toBe(3);
});

test("a file seed is copied while it is read; what another file has appended is not", async () => {
  using published = await publish();
  const { folder, index, stores } = published;
  writeFileSync(folder.join("seed"), content.subarray(0, 6_000_000));
  appendFileSync(folder.join("seed"), randomBytes(100_000, "appended"));
  const seed = await lazyBlobSeed(folder.join("seed"), index);
  const result = await extractBlob({ index, stores, seeds: [seed], output: folder.join("out") });
  await seed.close();
  expect(readFileSync(folder.join("out")).equals(content)).toBe(true);
  expect(result.fromSeeds).toBeGreaterThan(index.count / 2);
  expect(result.fromSeeds + result.fromStores).toBe(index.count);
});

test("many threads, and chunks that come in any order: none is forgotten", async () => {
  using published = await publish();
  const { index } = published;
  const [store] = published.stores as [ReadStore];
  const late = elsewhere(store, async (name, ...rest) => {
    await setTimeout(parseInt(name.slice(0, 2), 16) % 7);
    return store.get(name, ...rest);
  });
  const chunks = { count: index.count, at: (k: number) => k };
  for (const one of [store, late])
    for (let round = 0; round < 6; round++) {
      let size = 0;
      const source = new ChunkSource({ index, stores: [one] });
      for await (const bytes of readWithThreads(source, { chunks, workers: 4, requests: 5 })) {
        // as a reader does who is faster than the threads, and slower
        if (size % 3 === 0) await setTimeout(1);
        size += bytes.length;
      }
      expect(size).toBe(content.length);
    }
});
