import { copyFileSync, readFileSync, rmSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import type { ChunkIndex } from "@imgtool/chunker";
import { chunkPath, openLocalStore, type ReadStore } from "@imgtool/store";
import {
  needPrograms,
  needRoot,
  randomBytes,
  run,
  temporaryFolder,
  type TemporaryFolder,
  attachLoopDevice,
} from "@imgtool/testkit";
import { expect, test } from "vitest";
import { makeFixture } from "../test/trees.ts";
import { extractBlob } from "./extract-blob.ts";
import { makeBlob } from "./make-blob.ts";
import { openSeed } from "./open-seed.ts";
import { readIndex } from "./read-index.ts";
import { digestTree } from "./tree/digest-tree.ts";
import { extractTree } from "./tree/extract-tree.ts";
import { makeArchive, makeTree } from "./tree/make-tree.ts";

interface Versions extends Disposable {
  readonly folder: TemporaryFolder;
  readonly former: Uint8Array;
  readonly content: Uint8Array;
  readonly index: ChunkIndex;
  readonly store: ReadStore;
}

/** A blob that is published to the store `s`, and a file `former` with its former version. */
async function twoVersions(): Promise<Versions> {
  const folder = temporaryFolder();
  const former = randomBytes(2_000_000, "former");
  const content = Uint8Array.from(former);
  content.set(randomBytes(1000, "change"), 700_000);
  writeFileSync(folder.join("former"), former);
  writeFileSync(folder.join("content"), content);
  const store = folder.join("s");
  await makeBlob({ source: folder.join("content"), index: folder.join("o.caibx"), store, durable: false });
  return {
    folder,
    former,
    content,
    index: await readIndex(folder.join("o.caibx")),
    store: await openLocalStore(store),
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

async function extractWith(versions: Versions, ...paths: readonly string[]): Promise<number> {
  const { folder, index, store, content } = versions;
  const seeds = await Promise.all(paths.map((path) => openSeed(path, { index })));
  const output = folder.join("out");
  rmSync(output, { force: true });
  const result = await extractBlob({ index, stores: [store], seeds, output });
  for (const seed of seeds) await seed.close();
  expect(readFileSync(output).equals(content)).toBe(true);
  expect(result.fromSeeds + result.fromStores).toBeGreaterThan(10);
  return result.fromStores;
}

test("an image, an index with its own store, and both: only what changed is fetched", async () => {
  using versions = await twoVersions();
  const { folder, index } = versions;
  expect(await extractWith(versions, folder.join("former"))).toBeLessThanOrEqual(3);
  const published = folder.join("published");
  const made = await makeBlob({
    source: folder.join("former"),
    index: folder.join("former.caibx"),
    store: `${published}.castr`,
    durable: false,
  });
  const withStore = await openSeed(folder.join("former.caibx"), { index, store: `${published}.castr` });
  expect(await withStore.read(index.id(0), index.size(0))).toBeDefined();
  await withStore.close();
  run("mv", [`${published}.castr`, folder.join("default.castr")]);
  expect(await extractWith(versions, folder.join("former.caibx"))).toBeLessThanOrEqual(3);
  expect(await extractWith(versions, folder.join("former.caibx"), folder.join("former"))).toBeLessThanOrEqual(3);

  // a store that has lost a chunk, or has it altered, is passed over for that one
  unlinkSync(folder.join("default.castr", chunkPath(index.name(0))));
  const altered = folder.join("default.castr", chunkPath(index.name(1)));
  rmSync(altered);
  writeFileSync(altered, "altered");
  const fetched = await extractWith(versions, folder.join("former.caibx"));
  expect(fetched).toBeGreaterThanOrEqual(2);
  expect(fetched).toBeLessThanOrEqual(5);
  expect(made.chunks).toBeGreaterThan(10);
});

test("an index with other digests is told to be of no use", async () => {
  using versions = await twoVersions();
  const { folder, index } = versions;
  const options = { store: folder.join("default.castr"), durable: false, digest: "sha256" } as const;
  await makeBlob({ source: folder.join("former"), index: folder.join("other.caibx"), ...options });
  const told: string[] = [];
  const progress = {
    start: () => ({ advance() {}, setTotal() {}, detail() {}, done() {}, [Symbol.dispose]() {} }),
    log: (_: string, message: string) => void told.push(message),
  };
  const seed = await openSeed(folder.join("other.caibx"), { index, progress });
  expect(await seed.read(index.id(0), index.size(0))).toBeUndefined();
  expect(told.join()).toContain("of no use: its chunks have sha256 digests, those wanted sha512-256");
  await seed.close();
});

test("a block device", async (context) => {
  needRoot(context);
  needPrograms(context, "losetup");
  using versions = await twoVersions();
  using device = attachLoopDevice(context, versions.folder.join("former"));
  expect(await extractWith(versions, device.path)).toBeLessThanOrEqual(4);
});

test("for a tree: a directory, its archive, its index", async () => {
  using folder = temporaryFolder();
  const source = makeFixture(folder.join("tree"));
  await makeArchive({ source, output: folder.join("former.catar") });
  await makeTree({ source, index: folder.join("former.caidx"), store: folder.join("default.castr"), durable: false });
  run("cp", ["-a", source, folder.join("former")]);
  writeFileSync(folder.join("tree", "etc", "text"), "changed\n");
  await makeTree({ source, index: folder.join("o.caidx"), store: folder.join("s"), durable: false });
  const digest = await digestTree({ directory: source });
  const index = await readIndex(folder.join("o.caidx"));
  const stores = [await openLocalStore(folder.join("s"))];
  for (const name of ["former", "former.catar", "former.caidx"]) {
    await using seed = await disposable(openSeed(folder.join(name), { index }));
    const target = folder.join(`from ${name}`);
    const result = await extractTree({ source: { index, stores, seeds: [seed.value] }, target });
    expect(result.fromStores, name).toBeLessThan(4);
    expect(await digestTree({ directory: target })).toBe(digest);
  }
});

async function disposable<T extends { close(): Promise<void> }>(
  opened: Promise<T>,
): Promise<AsyncDisposable & { readonly value: T }> {
  const value = await opened;
  return { value, [Symbol.asyncDispose]: () => value.close() };
}

test("what is no seed is told as such", async (context) => {
  using versions = await twoVersions();
  const { folder, index } = versions;
  await expect(openSeed(folder.join("none"), { index })).rejects.toMatchObject({ code: "source-missing" });
  copyFileSync(folder.join("o.caibx"), folder.join("alone.caibx"));
  await expect(openSeed(folder.join("alone.caibx"), { index })).rejects.toMatchObject({ code: "store-missing" });
  needPrograms(context, "mkfifo");
  run("mkfifo", [folder.join("pipe")]);
  expect(statSync(folder.join("pipe")).isFIFO()).toBe(true);
  await expect(openSeed(folder.join("pipe"), { index })).rejects.toMatchObject({ code: "seed-invalid" });
});
