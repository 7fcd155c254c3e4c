import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { AbortedError, IntegrityError, NotFoundError } from "@imgtool/core";
import {
  needPrograms,
  needRoot,
  randomBytes,
  run,
  temporaryFolder,
  type TemporaryFolder,
  attachLoopDevice,
} from "@imgtool/testkit";
import type { ChunkIndex } from "@imgtool/chunker";
import { chunkPath, openLocalStore, type ReadStore } from "@imgtool/store";
import { expect, test } from "vitest";
import { extractBlob } from "./extract-blob.ts";
import { blobSeed, indexSeed } from "./file-seed.ts";
import { readIndex } from "./read-index.ts";
import { makeBlob } from "./make-blob.ts";
import { imageLike } from "./test-blobs.ts";

interface Published extends Disposable {
  readonly folder: TemporaryFolder;
  readonly index: ChunkIndex;
  readonly store: ReadStore;
  /** Path of a chunk's file in the store. */
  chunk(i: number): string;
}

/** A folder with the content published into its store `s`. */
async function publish(content: Uint8Array): Promise<Published> {
  const folder = temporaryFolder();
  writeFileSync(folder.join("blob"), content);
  await makeBlob({
    source: folder.join("blob"),
    index: folder.join("o.caibx"),
    store: folder.join("s"),
    durable: false,
  });
  const index = await readIndex(folder.join("o.caibx"));
  return {
    folder,
    index,
    store: await openLocalStore(folder.join("s")),
    chunk: (i) => folder.join("s", chunkPath(index.name(i))),
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

const same = (path: string, content: Uint8Array): boolean => readFileSync(path).equals(content);

for (const compression of ["zstd", "xz", "gzip"]) {
  test(`what casync makes with ${compression} is restored`, async (context) => {
    needPrograms(context, "casync");
    using folder = temporaryFolder();
    writeFileSync(folder.join("blob"), imageLike());
    run("casync", ["make", `--compression=${compression}`, "--store=s.castr", "o.caibx", "blob"], { cwd: folder.path });
    const index = await readIndex(folder.join("o.caibx"));
    const stores = [await openLocalStore(folder.join("s.castr"))];
    const result = await extractBlob({ index, stores, output: folder.join("out") });
    expect(same(folder.join("out"), imageLike())).toBe(true);
    expect(result).toMatchObject({ bytes: 1_500_000, chunks: index.count, fromSeeds: 0 });
  });
}

test("zeros become holes, repeated chunks are read once, and counts say so", async () => {
  const content = new Uint8Array(8 * 1024 ** 2);
  const block = randomBytes(600_000, "block");
  content.set(block, 100_000);
  content.set(block, 5_000_000);
  using made = await publish(content);
  const output = made.folder.join("out");
  const result = await extractBlob({ index: made.index, stores: [made.store], output });
  expect(same(output, content)).toBe(true);
  expect(statSync(output).blocks * 512).toBeLessThan(2_000_000);
  expect(result.fromStores).toBeLessThan(
    new Set(Array.from({ length: made.index.count }, (_, i) => made.index.name(i))).size,
  );
  const solid = await extractBlob({
    index: made.index,
    stores: [made.store],
    output: made.folder.join("solid"),
    punchHoles: false,
  });
  expect(statSync(made.folder.join("solid")).blocks * 512).toBeGreaterThanOrEqual(content.length);
  expect(solid.bytesFetched).toBeGreaterThan(600_000);
});

test("an empty blob and a blob of one byte", async () => {
  for (const content of [new Uint8Array(0), Uint8Array.of(7)]) {
    using made = await publish(content);
    await extractBlob({ index: made.index, stores: [made.store], output: made.folder.join("out") });
    expect(same(made.folder.join("out"), content)).toBe(true);
  }
});

test("a missing chunk names the chunk and the stores; the output is as it was", async () => {
  using made = await publish(randomBytes(1_000_000, "missing"));
  unlinkSync(made.chunk(5));
  const output = made.folder.join("out");
  writeFileSync(output, "former");
  const other = await openLocalStore(made.folder.join("other"), { create: true });
  const extracted = extractBlob({ index: made.index, stores: [made.store, other], output });
  await expect(extracted).rejects.toThrow(NotFoundError);
  await expect(extracted).rejects.toMatchObject({
    code: "chunk-missing",
    data: { chunk: made.index.name(5), stores: [made.store.location, other.location] },
  });
  expect(readFileSync(output, "utf8")).toBe("former");
  const left = readdirSync(made.folder.path).filter((name) => name !== ".out.partial");
  expect(left.sort()).toEqual(["blob", "o.caibx", "other", "out", "s"]);
});

const alterations: readonly (readonly [string, (path: string, other: string) => void])[] = [
  [
    "with a changed byte",
    (path) => {
      const bytes = readFileSync(path);
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
      writeFileSync(path, bytes);
    },
  ],
  ["cut short", (path) => truncateSync(path, statSync(path).size - 10)],
  ["that is another chunk", (path, other) => writeFileSync(path, readFileSync(other))],
  ["that is no compressed data", (path) => writeFileSync(path, "not a chunk at all")],
];

test.each(alterations)(
  "a chunk %s is told with its store and leaves nothing under the final name",
  async (_, alter) => {
    using made = await publish(randomBytes(1_000_000, "altered"));
    chmodSync(made.chunk(4), 0o644);
    alter(made.chunk(4), made.chunk(3));
    const output = made.folder.join("out");
    const extracted = extractBlob({ index: made.index, stores: [made.store], output });
    await expect(extracted).rejects.toThrow(IntegrityError);
    await expect(extracted).rejects.toMatchObject({
      code: "chunk-altered",
      data: { chunk: made.index.name(4), store: made.store.location },
    });
    const left = readdirSync(made.folder.path).filter((name) => name !== ".out.partial");
    expect(left.sort()).toEqual(["blob", "o.caibx", "s"]);
  },
);

test("a second store stands in for a chunk that the first one lacks or has altered", async () => {
  const content = randomBytes(1_000_000, "second");
  using made = await publish(content);
  using whole = await publish(content);
  unlinkSync(made.chunk(1));
  chmodSync(made.chunk(2), 0o644);
  writeFileSync(made.chunk(2), "altered");
  await extractBlob({ index: made.index, stores: [made.store, whole.store], output: made.folder.join("out") });
  expect(same(made.folder.join("out"), content)).toBe(true);
});

test("what is at the output, and other seeds, save what the stores would have to send", async () => {
  const former = imageLike("former");
  const next = Uint8Array.from(former);
  next.set(randomBytes(1000, "change"), 700_000);
  using made = await publish(next);
  const output = made.folder.join("out");
  writeFileSync(output, former);
  const options = { index: made.index, stores: [made.store], output };
  const updated = await extractBlob(options);
  expect(same(output, next)).toBe(true);
  expect(updated.fromSeeds).toBeGreaterThan(0);
  expect(updated.fromStores).toBeLessThanOrEqual(3);
  const again = await extractBlob(options);
  expect(again).toMatchObject({ fromStores: 0, bytesFetched: 0 });
  const alone = await extractBlob({ ...options, seedOutput: false });
  expect(alone).toMatchObject({ fromSeeds: 0 });
  expect(alone.bytesFetched).toBeGreaterThan(updated.bytesFetched);
  const seed = await indexSeed(made.index, output);
  const seeded = await extractBlob({ ...options, stores: [], output: made.folder.join("copy"), seeds: [seed] });
  expect(seeded).toMatchObject({ fromStores: 0 });
  expect(same(made.folder.join("copy"), next)).toBe(true);
  await seed.close();
});

test("a seed that changes after it was read is not trusted", async () => {
  const content = randomBytes(1_000_000, "liar");
  using made = await publish(content);
  const path = made.folder.join("seed");
  writeFileSync(path, content);
  const seed = await blobSeed(path, made.index);
  writeFileSync(path, randomBytes(600_000, "other"));
  const output = made.folder.join("out");
  const result = await extractBlob({ index: made.index, stores: [made.store], output, seeds: [seed] });
  expect(result.fromSeeds).toBe(0);
  expect(same(output, content)).toBe(true);
  await seed.close();
});

test("a character device is written in place", async () => {
  using made = await publish(imageLike());
  const result = await extractBlob({ index: made.index, stores: [made.store], output: "/dev/null" });
  expect(result.bytes).toBe(1_500_000);
  expect(statSync("/dev/null").isCharacterDevice()).toBe(true);
});

test("a folder is no output", async () => {
  using made = await publish(new Uint8Array(10));
  const extracted = extractBlob({ index: made.index, stores: [made.store], output: made.folder.path });
  await expect(extracted).rejects.toMatchObject({ code: "output-invalid" });
});

test("an abort ends the run and leaves what the next one goes on with", async () => {
  using made = await publish(randomBytes(3_000_000, "abort"));
  const controller = new AbortController();
  let gets = 0;
  const store: ReadStore = {
    location: "slow",
    has: async () => true,
    get: async (name, signal) => {
      if (++gets === 5) controller.abort();
      return made.store.get(name, signal);
    },
    close: async () => {},
  };
  const output = made.folder.join("out");
  const extracted = extractBlob({ index: made.index, stores: [store], output, signal: controller.signal, requests: 2 });
  await expect(extracted).rejects.toThrow(AbortedError);
  expect(gets).toBeLessThan(8);
  expect(readdirSync(made.folder.path).sort()).toEqual([".out.partial", "blob", "o.caibx", "s"]);
});

test("threads restore a large blob from a local store, and leave what it lacks to the next store", async () => {
  const content = new Uint8Array(12 * 1024 ** 2);
  const block = randomBytes(5_000_000, "threads");
  content.set(block, 300_000);
  content.set(block, 6_000_000);
  using made = await publish(content);
  using whole = await publish(content);
  const output = made.folder.join("out");
  const plain = await extractBlob({
    index: made.index,
    stores: [made.store],
    output,
    punchHoles: false,
    seedOutput: false,
  });
  const options = { index: made.index, output, seedOutput: false };
  const threaded = await extractBlob({ ...options, stores: [made.store.location], punchHoles: false });
  expect(threaded).toEqual(plain);
  unlinkSync(made.chunk(20));
  chmodSync(made.chunk(30), 0o644);
  writeFileSync(made.chunk(30), "altered");
  const failed = extractBlob({ ...options, stores: [made.store.location], output: made.folder.join("other") });
  await expect(failed).rejects.toMatchObject({ code: expect.stringMatching(/^chunk-(missing|altered)$/) });
  await extractBlob({ ...options, stores: [made.store.location, whole.store] });
  expect(same(output, content)).toBe(true);
  expect(statSync(output).blocks * 512).toBeLessThan(11_000_000);
  expect(readdirSync(made.folder.path).sort()).toEqual([".other.partial", "blob", "o.caibx", "out", "s"]);
  const aborted = extractBlob({ ...options, stores: [made.store.location], signal: AbortSignal.abort() });
  await expect(aborted).rejects.toThrow(AbortedError);
});

test("a full file system is told as such, with and without threads", async (context) => {
  needRoot(context);
  using made = await publish(randomBytes(10_000_000, "full"));
  const small = made.folder.join("small");
  mkdirSync(small);
  run("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", small]);
  try {
    // the third is one that no thread can read: they write what is fetched from it
    const elsewhere: ReadStore = {
      location: "elsewhere",
      has: (name) => made.store.has(name),
      get: (...args) => made.store.get(...args),
      close: () => made.store.close(),
    };
    for (const store of [made.store, made.store.location, elsewhere]) {
      const extracted = extractBlob({ index: made.index, stores: [store], output: `${small}/out` });
      await expect(extracted).rejects.toMatchObject({ code: "no-space", exitCode: 6 });
      expect(readdirSync(small)).toEqual([]);
    }
  } finally {
    run("umount", [small]);
  }
});

test("a block device is overwritten in place, zeros included; one that is too small is refused", async (context) => {
  needRoot(context);
  needPrograms(context, "losetup");
  using made = await publish(imageLike());
  const former = randomBytes(2_097_152, "disk");
  writeFileSync(made.folder.join("disk"), former);
  using device = attachLoopDevice(context, made.folder.join("disk"));
  await extractBlob({ index: made.index, stores: [made.store], output: device.path });
  expect(readFileSync(device.path).subarray(0, 1_500_000).equals(imageLike())).toBe(true);
  expect(readFileSync(device.path).subarray(1_500_000).equals(former.subarray(1_500_000))).toBe(true);

  using larger = await publish(randomBytes(2_100_000, "larger"));
  const refused = extractBlob({ index: larger.index, stores: [larger.store], output: device.path });
  await expect(refused).rejects.toMatchObject({
    code: "output-too-small",
    message: expect.stringContaining("2848 bytes (2.78 KiB) do not fit"),
    data: { expected: 2_100_000, found: 2_097_152, missing: 2848 },
  });
  expect(readFileSync(device.path).subarray(0, 1_500_000).equals(imageLike())).toBe(true);
});

/** Sectors written to a block device so far, as the kernel counts them. */
const sectorsWritten = (device: string): number =>
  Number(
    readFileSync(`/sys/class/block/${device.slice(5)}/stat`, "utf8")
      .trim()
      .split(/\s+/)[6],
  );

test("of a block device only what changes is written, and what moved on it is not fetched", async (context) => {
  needRoot(context);
  needPrograms(context, "losetup");
  const former = randomBytes(4_194_304, "former device");
  const next = Uint8Array.from(former);
  next.set(randomBytes(5000, "changed range"), 1_000_000);
  // the last quarter moves by a page
  next.set(former.subarray(3_145_728, 4_190_208), 3_149_824);
  using made = await publish(next);
  writeFileSync(made.folder.join("disk"), former);
  using device = attachLoopDevice(context, made.folder.join("disk"));
  run("sync", []);
  const before = sectorsWritten(device.path);
  const result = await extractBlob({ index: made.index, stores: [made.store], output: device.path });
  expect(readFileSync(device.path).equals(next)).toBe(true);
  expect(result.fromStores).toBeLessThan(8);
  expect(sectorsWritten(device.path) - before).toBeLessThan((1_048_576 + 3 * 65_536) / 512);

  run("sync", []);
  const settled = sectorsWritten(device.path);
  const again = await extractBlob({ index: made.index, stores: [], output: device.path });
  expect(again).toMatchObject({ fromStores: 0, bytesFetched: 0 });
  expect(sectorsWritten(device.path)).toBe(settled);
});
