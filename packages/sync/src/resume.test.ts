import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { link } from "node:fs/promises";
import { openLocalStore, type ReadStore } from "@imgtool/store";
import { randomBytes, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { extractBlob } from "./extract-blob.ts";
import { makeBlob } from "./make-blob.ts";
import { readIndex } from "./read-index.ts";

// short enough to be made without threads
const content = new Uint8Array(2_000_000);
content.set(randomBytes(900_000, "resume"), 200_000);
content.set(randomBytes(300_000, "resume, too"), 1_700_000);

/** A store that fails after so many chunks. */
function failing(store: ReadStore, after: number): ReadStore {
  let left = after;
  return {
    ...store,
    location: store.location,
    has: (name) => store.has(name),
    get: async (name, ...rest) => {
      if (left-- <= 0) throw new Error("the network is gone");
      return store.get(name, ...rest);
    },
    close: async () => {},
  };
}

async function published(folder: ReturnType<typeof temporaryFolder>) {
  writeFileSync(folder.join("blob"), content);
  await makeBlob({
    source: folder.join("blob"),
    index: folder.join("o.caibx"),
    store: folder.join("s"),
    durable: false,
  });
  mkdirSync(folder.join("o"));
  return {
    index: await readIndex(folder.join("o.caibx")),
    store: await openLocalStore(folder.join("s")),
    output: folder.join("o", "out"),
  };
}

test("a run that failed is gone on with: only what it lacked is fetched", async () => {
  using folder = temporaryFolder();
  const { index, store, output } = await published(folder);
  writeFileSync(output, "former");
  const options = { index, output, requests: 1 };
  await expect(extractBlob({ ...options, stores: [failing(store, 8)] })).rejects.toThrow("the network is gone");
  expect(readFileSync(output, "utf8")).toBe("former");
  expect(readdirSync(folder.join("o")).sort()).toEqual([".out.partial", "out"]);
  expect(statSync(folder.join("o", ".out.partial")).mode & 0o777).toBe(0o600);

  // what is not whole in it does not count
  const partial = readFileSync(folder.join("o", ".out.partial"));
  partial[250_000] = (partial[250_000] ?? 0) ^ 1;
  partial.fill(7, 1_300_000, 1_400_000);
  writeFileSync(folder.join("o", ".out.partial"), partial);
  const told: string[] = [];
  const task = { advance() {}, setTotal() {}, detail() {}, done() {}, [Symbol.dispose]() {} };
  const progress = { start: () => task, log: (_: string, text: string) => void told.push(text) };
  const result = await extractBlob({ ...options, progress, stores: [store], seedOutput: false });
  expect(readFileSync(output).equals(content)).toBe(true);
  // neighbours of data that are all zeros are found, too
  expect(result.fromSeeds).toBeGreaterThanOrEqual(7);
  expect(result.fromSeeds).toBeLessThanOrEqual(9);
  expect(told.join()).toMatch(/^going on with [789] of \d+ chunks that a former run has restored$/);
  expect(readdirSync(folder.join("o"))).toEqual(["out"]);
  expect(statSync(output).mode & 0o777).toBe(0o666 & ~process.umask());
  expect(statSync(output).blocks * 512).toBeLessThan(1_400_000);
});

test("without holes a former run is not gone on with: it has some", async () => {
  using folder = temporaryFolder();
  const { index, store, output } = await published(folder);
  const options = { index, output, punchHoles: false, requests: 1 };
  await expect(extractBlob({ ...options, stores: [failing(store, 8)] })).rejects.toThrow("the network is gone");
  await extractBlob({ ...options, stores: [store] });
  expect(readFileSync(output).equals(content)).toBe(true);
  expect(statSync(output).blocks * 512).toBeGreaterThanOrEqual(content.length);
});

test("a run that has restored nothing leaves nothing", async () => {
  using folder = temporaryFolder();
  const { index, store, output } = await published(folder);
  await expect(extractBlob({ index, output, stores: [failing(store, 0)] })).rejects.toThrow("the network is gone");
  expect(readdirSync(folder.join("o"))).toEqual([]);
});

const planted: readonly (readonly [string, (path: string, outside: string) => void | Promise<void>])[] = [
  ["a symlink", (path, outside) => symlinkSync(outside, path)],
  ["another name of a file", (path, outside) => link(outside, path)],
  ["a directory", (path) => mkdirSync(path)],
  [
    "a file that others may write to",
    (path) => {
      writeFileSync(path, "x");
      chmodSync(path, 0o666);
    },
  ],
];

test.for(planted)("%s in the place of a former run is neither used nor changed", async ([, plant]) => {
  using folder = temporaryFolder();
  const { index, store, output } = await published(folder);
  const outside = folder.join("outside");
  writeFileSync(outside, "precious");
  await plant(folder.join("o", ".out.partial"), outside);
  await extractBlob({ index, output, stores: [store] });
  expect(readFileSync(output).equals(content)).toBe(true);
  expect(readFileSync(outside, "utf8")).toBe("precious");
  expect(existsSync(folder.join("o", ".out.partial"))).toBe(true);
  expect(readdirSync(folder.join("o")).length).toBe(2);
});

test("two runs at once do not meet", async () => {
  using folder = temporaryFolder();
  const { index, store, output } = await published(folder);
  const runs = [1, 2, 3].map(() => extractBlob({ index, output, stores: [store], seedOutput: false, requests: 2 }));
  await Promise.all(runs);
  expect(readFileSync(output).equals(content)).toBe(true);
  expect(readdirSync(folder.join("o"))).toEqual(["out"]);
});
