import { rmSync, writeFileSync } from "node:fs";
import { chunkPath, openLocalStore, type ReadStore } from "@imgtool/store";
import { randomBytes, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { ChunkSource } from "./chunk-source.ts";
import { ChunkThreads } from "./chunk-threads.ts";
import { makeBlob } from "./make-blob.ts";
import { readIndex } from "./read-index.ts";

test("chunks in any order, many at once: each is whole, and what is not is told", async () => {
  using folder = temporaryFolder();
  const content = randomBytes(4 * 1024 ** 2, "chunk threads");
  writeFileSync(folder.join("content"), content);
  const store = folder.join("s");
  await makeBlob({ source: folder.join("content"), index: folder.join("x.caibx"), store, durable: false });
  const index = await readIndex(folder.join("x.caibx"));
  const local = await openLocalStore(store);
  const elsewhere: ReadStore = {
    location: "elsewhere",
    has: (name) => local.has(name),
    get: (...args) => local.get(...args),
    close: () => Promise.resolve(),
  };
  // 17 is far from every divisor of the count, so that neighbours are not asked for together.
  const order = Array.from({ length: 12 * index.count }, (_, k) => (k * 17) % index.count);
  for (const stores of [[local], [elsewhere]]) {
    const source = new ChunkSource({ index, stores });
    await using threads = new ChunkThreads(source);
    const all = await Promise.all(order.map(async (i) => threads.get(i)));
    for (const [k, i] of order.entries())
      expect(Buffer.compare(all[k] ?? new Uint8Array(0), content.subarray(index.start(i), index.end(i)))).toBe(0);
    expect(source.counts.fromStores).toBe(order.length);
  }
  writeFileSync(folder.join("s", chunkPath(index.name(3))), "altered");
  rmSync(folder.join("s", chunkPath(index.name(5))));
  for (const stores of [[local], [elsewhere]]) {
    await using threads = new ChunkThreads(new ChunkSource({ index, stores }));
    const results = await Promise.allSettled([3, 4, 5, 6].map((i) => threads.get(i)));
    const told = results.map((result) =>
      result.status === "rejected" ? (result.reason as { code: string }).code : "",
    );
    expect(told).toEqual(["chunk-altered", "", "chunk-missing", ""]);
  }
  const aborted = new AbortController();
  const ending = new ChunkThreads(new ChunkSource({ index, stores: [local] }), aborted.signal);
  const pending = [7, 8, 9].map((i) => ending.get(i));
  aborted.abort();
  expect((await Promise.allSettled(pending)).every(({ status }) => status === "rejected")).toBe(true);
  await ending[Symbol.asyncDispose]();
});
