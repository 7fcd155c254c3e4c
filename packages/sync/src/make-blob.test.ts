import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { AbortedError, EnvironmentError, NotFoundError } from "@imgtool/core";
import { needPrograms, randomBytes, run, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { decodeIndex, type DigestAlgorithm } from "@imgtool/chunker";
import { compressions, openLocalStore, type StoredChunk, type WriteStore } from "@imgtool/store";
import { expect, test } from "vitest";
import { readIndex } from "./read-index.ts";
import { makeBlob } from "./make-blob.ts";
import { imageLike, slices } from "./test-blobs.ts";

const sha = (bytes: Uint8Array, algorithm: DigestAlgorithm = "sha512-256"): string =>
  createHash(algorithm).update(bytes).digest("hex");

/** A folder with the content as `blob`. */
function folderWith(content: Uint8Array): TemporaryFolder {
  const folder = temporaryFolder();
  writeFileSync(folder.join("blob"), content);
  return folder;
}

/** Paths of the chunks in a store. */
const chunksIn = (store: string): string[] =>
  (readdirSync(store, { recursive: true }) as string[]).filter((path) => path.includes("/")).sort();

const contents: Readonly<Record<string, Uint8Array>> = {
  image: imageLike(),
  random: randomBytes(3_000_000, "random"),
  "one byte": new Uint8Array(1),
  nothing: new Uint8Array(0),
};

for (const [name, content] of Object.entries(contents)) {
  test(`${name}: index, chunks and digest are casync's, and casync restores it`, async (context) => {
    needPrograms(context, "casync");
    using folder = folderWith(content);
    const cwd = folder.path;
    const result = await makeBlob({
      source: folder.join("blob"),
      index: folder.join("ours.caibx"),
      store: folder.join("ours.castr"),
      chunkSizes: { avg: 16384 },
      contentDigest: true,
    });
    const printed = run("casync", ["make", "--chunk-size=16K", "--store=theirs.castr", "theirs.caibx", "blob"], {
      cwd,
    });
    expect(readFileSync(folder.join("ours.caibx"))).toEqual(readFileSync(folder.join("theirs.caibx")));
    expect(chunksIn(folder.join("ours.castr"))).toEqual(
      content.length === 0 ? [] : chunksIn(folder.join("theirs.castr")),
    );
    expect(result).toMatchObject({
      size: content.length,
      digest: printed.trim(),
      indexPath: folder.join("ours.caibx"),
    });
    run("casync", ["extract", "--store=ours.castr", "ours.caibx", "restored"], { cwd });
    expect(readFileSync(folder.join("restored")).equals(content)).toBe(true);
  });
}

for (const compression of compressions) {
  test(`casync restores what is stored with compression ${compression}`, async (context) => {
    needPrograms(context, "casync");
    using folder = folderWith(imageLike());
    await makeBlob({
      source: folder.join("blob"),
      index: folder.join("o.caibx"),
      store: folder.join("s"),
      compression,
    });
    const paths = chunksIn(folder.join("s"));
    expect(paths.filter((path) => path.endsWith(".cacnk") === (compression !== "none"))).toEqual(paths);
    run("casync", ["extract", "--store=s", "o.caibx", "restored"], { cwd: folder.path });
    expect(readFileSync(folder.join("restored")).equals(imageLike())).toBe(true);
  });
}

test("the second run writes nothing new", async () => {
  using folder = folderWith(imageLike());
  const options = { source: folder.join("blob"), index: folder.join("o.caibx"), store: folder.join("s") };
  const first = await makeBlob(options);
  const chunks = chunksIn(folder.join("s"));
  expect(first.newChunks).toBe(chunks.length);
  expect(first.newChunks).toBeLessThan(first.chunks);
  expect(first.newBytes).toBe(chunks.reduce((sum, path) => sum + readFileSync(folder.join("s", path)).length, 0));
  const second = await makeBlob({ ...options, durable: false, workers: 1 });
  expect(second).toEqual({ ...first, newChunks: 0, newBytes: 0 });
  expect(chunksIn(folder.join("s"))).toEqual(chunks);
});

test.each(["sha512-256", "sha256"] as const)("%s names the chunks and the whole", async (digest) => {
  const content = imageLike();
  using folder = folderWith(content);
  const result = await makeBlob({
    source: folder.join("blob"),
    index: folder.join("o"),
    store: folder.join("s"),
    digest,
    contentDigest: true,
  });
  expect(result.digest).toBe(sha(content, digest));
  const index = await readIndex(folder.join("o"));
  expect(index.digest).toBe(digest);
  for (let i = 0; i < index.count; i++) {
    expect(index.name(i)).toBe(sha(content.subarray(index.start(i), index.end(i)), digest));
  }
});

test("a stream in any slices makes the same index as the file", async () => {
  const content = imageLike();
  using folder = folderWith(content);
  await makeBlob({ source: folder.join("blob"), index: folder.join("file"), store: folder.join("s") });
  for (const length of [1_000_000, 4097, 311]) {
    await makeBlob({ source: slices(content, length), index: folder.join("stream"), store: folder.join("s") });
    expect(readFileSync(folder.join("stream"))).toEqual(readFileSync(folder.join("file")));
  }
});

test("more small chunks than records, and chunks that go over the ring's end", async () => {
  const content = randomBytes(20 * 1024 ** 2, "long");
  using folder = temporaryFolder();
  const publish = async (chunkSizes: { min: number; avg: number; max: number }): Promise<void> => {
    const store = nullStore();
    const options = { index: folder.join("o"), store, chunkSizes, workers: 2, contentDigest: true };
    const result = await makeBlob({ ...options, source: slices(content, 1_000_003) });
    expect(result.digest).toBe(sha(content));
    const index = decodeIndex(readFileSync(folder.join("o")));
    expect(index.totalSize).toBe(content.length);
    const last = index.count - 1;
    for (const i of [0, Math.floor((last * 16) / 20), last]) {
      expect(index.name(i)).toBe(sha(content.subarray(index.start(i), index.end(i))));
    }
  };
  await publish({ min: 1024, avg: 1024, max: 1024 });
  await publish({ min: 1_000_000, avg: 3_000_000, max: 5_000_000 });
});

/** A store that takes everything and forgets it. */
function nullStore(events: Partial<WriteStore> = {}): WriteStore {
  return {
    location: "null",
    has: async () => false,
    keep: async () => false,
    get: async () => undefined,
    put: async () => true,
    flush: async () => {},
    close: async () => {},
    ...events,
  };
}

test.each([true, false])(
  "an open store gets every chunk once, compressed, and is flushed before the index is there (durable: %s)",
  async (durable) => {
    const content = imageLike();
    using folder = folderWith(content);
    const store = await openLocalStore(folder.join("s"), { create: true });
    const calls: string[] = [];
    const watched: WriteStore = {
      ...nullStore(),
      keep: (name, signal) => store.keep(name, signal),
      put: async (name, chunk: StoredChunk, signal) => {
        calls.push(name);
        return store.put(name, chunk, signal);
      },
      flush: async () => {
        calls.push(`flush ${existsSync(folder.join("o"))}`);
      },
    };
    const direct = await makeBlob({
      source: folder.join("blob"),
      index: folder.join("direct"),
      store: folder.join("d"),
    });
    const result = await makeBlob({ source: folder.join("blob"), index: folder.join("o"), store: watched, durable });
    expect(result).toEqual({ ...direct, indexPath: folder.join("o") });
    expect(chunksIn(folder.join("s"))).toEqual(chunksIn(folder.join("d")));
    expect(calls.at(-1)).toBe("flush false");
    expect(new Set(calls).size).toBe(calls.length);
    expect((await makeBlob({ source: folder.join("blob"), index: folder.join("o"), store: watched })).newChunks).toBe(
      0,
    );
  },
);

test("a store that fails ends the run: its error, no index, no temporary file", async () => {
  using folder = folderWith(imageLike());
  let puts = 0;
  const store = nullStore({
    put: async () => {
      if (++puts === 3) throw new EnvironmentError("the disk is full", { code: "no-space" });
      return true;
    },
  });
  const made = makeBlob({ source: folder.join("blob"), index: folder.join("o.caibx"), store });
  await expect(made).rejects.toMatchObject({ code: "no-space" });
  expect(readdirSync(folder.path)).toEqual(["blob"]);
});

test("a worker's error keeps its class, code and data", async () => {
  using folder = folderWith(imageLike());
  const options = { source: folder.join("blob"), index: folder.join("o.caibx"), store: folder.join("s") };
  await makeBlob(options);
  using other = folderWith(imageLike());
  const index = await readIndex(options.index);
  // a file where a folder of chunks belongs
  const inTheWay = index.name(2).slice(0, 4);
  await openLocalStore(other.join("s"), { create: true });
  writeFileSync(other.join("s", inTheWay), "");
  const made = makeBlob({ source: other.join("blob"), index: other.join("o.caibx"), store: other.join("s") });
  await expect(made).rejects.toMatchObject({ code: expect.stringMatching(/^store-/) });
  expect(existsSync(other.join("o.caibx"))).toBe(false);
});

test("an abort ends the run at once and leaves the former index", async () => {
  using folder = folderWith(imageLike());
  writeFileSync(folder.join("o.caibx"), "former");
  const controller = new AbortController();
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (let i = 0; ; i++) {
      if (i === 20) controller.abort();
      yield randomBytes(100_000, String(i));
    }
  }
  const options = { source: endless(), index: folder.join("o.caibx"), store: folder.join("s") };
  await expect(makeBlob({ ...options, signal: controller.signal })).rejects.toThrow(AbortedError);
  expect(readFileSync(folder.join("o.caibx"), "utf8")).toBe("former");
  expect(readdirSync(folder.path).sort()).toEqual(["blob", "o.caibx", "s"]);
  expect(chunksIn(folder.join("s")).filter((path) => !/^....\/[0-9a-f]{64}\.cacnk$/.test(path))).toEqual([]);
});

test("what cannot be read is named", async () => {
  using folder = temporaryFolder();
  const options = { index: folder.join("o.caibx"), store: folder.join("s") };
  const missing = makeBlob({ ...options, source: folder.join("missing") });
  await expect(missing).rejects.toThrow(NotFoundError);
  await expect(missing).rejects.toMatchObject({ code: "source-missing", data: { file: folder.join("missing") } });
  await expect(makeBlob({ ...options, source: folder.path })).rejects.toMatchObject({ code: "source-is-directory" });
  expect(existsSync(folder.join("o.caibx"))).toBe(false);
});

test("the digest of the whole is made when it is asked for", async () => {
  using folder = folderWith(randomBytes(5_000_000, "whole"));
  const options = { source: folder.join("blob"), index: folder.join("o"), store: folder.join("s"), durable: false };
  const whole = await makeBlob({ ...options, contentDigest: true });
  expect(whole.digest).toBe(sha(readFileSync(options.source)));
  const again = await makeBlob(options);
  expect(again).toMatchObject({ size: whole.size, newChunks: 0 });
  expect(again.digest).toBeUndefined();
});
