import { randomBytes, temporaryFolder } from "@imgtool/testkit";
import { chmodSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { CachedStore } from "./cached-store.ts";
import { chunkPath } from "./chunk-path.ts";
import { chunkName } from "./digest.ts";
import { maxStoredBytes } from "./limits.ts";
import { openLocalStore } from "./local.ts";
import { readChunk } from "./read-chunk.ts";
import type { ReadStore } from "./store.ts";
import { limitTime } from "./time-limit.ts";

const chunks = Array.from({ length: 6 }, (_, i) => randomBytes(1000, `chunk ${i}`));
const names = chunks.map((bytes) => chunkName(bytes));

/** A store elsewhere with the chunks, plain, that says which were asked for. */
function elsewhere(): ReadStore & { readonly asked: number[] } {
  const asked: number[] = [];
  return {
    asked,
    location: "elsewhere",
    has: async (name) => names.includes(name),
    get: async (name) => {
      const i = names.indexOf(name);
      asked.push(i);
      return i < 0 ? undefined : { bytes: chunks[i] ?? new Uint8Array(0), compressed: false };
    },
    close: async () => {},
  };
}

async function readAll(store: ReadStore, wanted: readonly number[]): Promise<void> {
  for (const i of wanted) {
    const chunk = await store.get(names[i] ?? "");
    expect(Buffer.compare(chunk?.bytes ?? new Uint8Array(0), chunks[i] ?? new Uint8Array(0))).toBe(0);
  }
}

test("what was fetched is kept, the least recently used goes first, and the next run finds it", async () => {
  using folder = temporaryFolder();
  const options = { directory: folder.join("kept"), maxBytes: 3500 };
  const store = elsewhere();
  const cached = await CachedStore.open(store, options);
  await readAll(cached, [0, 1, 2, 0, 3, 0, 2, 3]);
  // 1 had to go for 3
  expect(store.asked).toEqual([0, 1, 2, 3]);
  expect([0, 1, 2, 3].map((i) => cached.keeps(names[i] ?? ""))).toEqual([true, false, true, true]);
  expect(cached.free).toBe(500);
  expect(await cached.get("0".repeat(64))).toBeUndefined();
  const again = elsewhere();
  const next = await CachedStore.open(again, { ...options, maxBytes: 2500 });
  expect(next.free).toBe(500);
  const kept = [0, 2, 3].filter((i) => next.keeps(names[i] ?? ""));
  await readAll(next, kept);
  expect(kept.length).toBe(2);
  expect(again.asked).toEqual([]);
});

test("what the copy has lost is fetched again; where nothing can be kept, chunks come all the same", async () => {
  using folder = temporaryFolder();
  const errors: unknown[] = [];
  const options = { directory: folder.join("kept"), maxBytes: 10_000, onError: (error: unknown) => errors.push(error) };
  const store = elsewhere();
  const cached = await CachedStore.open(store, options);
  await readAll(cached, [0]);
  const local = await openLocalStore(folder.join("kept"));
  for await (const entry of local.list())
    if (entry.kind === "chunk") await local.remove(entry, Number.POSITIVE_INFINITY);
  await readAll(cached, [0, 0]);
  expect(store.asked).toEqual([0, 0]);
  folder[Symbol.dispose]();
  await readAll(cached, [1, 2]);
  expect(store.asked).toEqual([0, 0, 1, 2]);
});

test("a damaged copy is found, removed, fetched anew and kept again", async () => {
  using folder = temporaryFolder();
  const directory = folder.join("kept");
  const store = elsewhere();
  const cached = await CachedStore.open(store, { directory, maxBytes: 10_000 });
  await readAll(cached, [0, 1, 2, 3]);
  const path = (i: number): string => folder.join("kept", chunkPath(names[i] ?? "", false));
  const damage: readonly ((path: string) => void)[] = [
    (file) => writeFileSync(file, Buffer.alloc(1000)),
    (file) => writeFileSync(file, "short"),
    (file) => truncateSync(file, 0),
    (file) => writeFileSync(file, Buffer.alloc(maxStoredBytes(1000) + 1)),
  ];
  for (const [i, harm] of damage.entries()) {
    chmodSync(path(i), 0o600);
    harm(path(i));
  }
  // Of this run, and of one that begins with the damage.
  for (const [reader, wanted] of [
    [cached, [0, 1, 2, 3]],
    [await CachedStore.open(store, { directory, maxBytes: 10_000 }), [0, 1, 2, 3]],
  ] as const) {
    for (const i of wanted) {
      const plain = await readChunk([reader], names[i] ?? "", 1000);
      expect(Buffer.compare(plain, chunks[i] ?? plain)).toBe(0);
      expect(Buffer.compare(readFileSync(path(i)), plain)).toBe(0);
    }
  }
  expect(store.asked).toEqual([0, 1, 2, 3, 0, 1, 2, 3]);
  expect(cached.free).toBe(6000);
  // Where the original is damaged, nothing of it stays.
  const bad = { ...elsewhere(), get: async () => ({ bytes: Buffer.alloc(1000), compressed: false }) };
  const other = await CachedStore.open(bad, { directory: folder.join("other"), maxBytes: 10_000 });
  await expect(readChunk([other], names[0] ?? "", 1000)).rejects.toMatchObject({ code: "chunk-altered" });
  expect(other.keeps(names[0] ?? "")).toBe(false);
  expect(other.free).toBe(10_000);
});

test("the bound is the folder's, whoever writes to it, and the least recently used of all goes first", async () => {
  using folder = temporaryFolder();
  const directory = folder.join("kept");
  const many = Array.from({ length: 200 }, (_, i) => randomBytes(1000, `many ${i}`));
  const store: ReadStore = {
    ...elsewhere(),
    get: async (name) => {
      const bytes = many.find((one) => chunkName(one) === name);
      return bytes === undefined ? undefined : { bytes, compressed: false };
    },
  };
  const size = async (): Promise<number> => {
    let sum = 0;
    for await (const entry of (await openLocalStore(directory)).list()) if (entry.kind === "chunk") sum += entry.bytes;
    return sum;
  };
  const two = [
    await CachedStore.open(store, { directory, maxBytes: 32_000 }),
    await CachedStore.open(store, { directory, maxBytes: 32_000 }),
  ] as const;
  const often = chunkName(many[0] ?? new Uint8Array(0));
  for (const [i, bytes] of many.entries()) {
    await two[i % 2 === 0 ? 0 : 1].get(chunkName(bytes));
    await two[0].get(often);
    expect(await size()).toBeLessThanOrEqual(32_000);
  }
  expect(await size()).toBeGreaterThan(24_000);
  // The newest of both are there, and what is old is gone.
  const lone = await CachedStore.open({ ...store, get: async () => undefined }, { directory, maxBytes: 32_000 });
  expect(lone.keeps(chunkName(many[199] ?? new Uint8Array(0)))).toBe(true);
  expect(lone.keeps(chunkName(many[1] ?? new Uint8Array(0)))).toBe(false);
  await Promise.all(two.map((one) => one.close()));
  expect(await size()).toBeLessThanOrEqual(32_000);
});

test("a store that does not answer in time has failed, and its request is ended", async () => {
  const ended: string[] = [];
  const waits = (signal?: AbortSignal): Promise<never> =>
    new Promise((_, reject) =>
      signal?.addEventListener("abort", () => {
        ended.push("ended");
        reject(new Error("ended"));
      }),
    );
  const limited = limitTime(
    { ...elsewhere(), has: (_, signal) => waits(signal), get: (_, signal) => waits(signal) },
    30,
  );
  await expect(limited.get("")).rejects.toMatchObject({ code: "store-too-slow" });
  await expect(limited.has("")).rejects.toThrow("elsewhere has not answered within 0.03 s");
  const aborted = new AbortController();
  const get = limited.get("", aborted.signal);
  aborted.abort();
  await expect(get).rejects.toThrow("ended");
  expect(ended.length).toBe(3);
  await readAll(limitTime(elsewhere(), 1000), [0, 1]);
});
