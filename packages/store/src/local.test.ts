import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { needPrograms, randomBytes, run, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import {
  chunkName,
  chunkPath,
  compressChunk,
  compressions,
  openLocalStore,
  readChunk,
  SyncLocalStore,
} from "./index.ts";

const plain = randomBytes(5000, "local");
const name = chunkName(plain);
const chunk = compressChunk(plain);

test("a chunk lies at <4 hex>/<64 hex>.cacnk with mode 0444, and nothing else is left", async () => {
  using folder = temporaryFolder();
  const store = await openLocalStore(folder.join("new/default.castr"), { create: true });
  expect(await store.has(name)).toBe(false);
  expect(await store.put(name, chunk)).toBe(true);
  expect(await store.put(name, chunk)).toBe(false);
  await store.flush();
  const path = folder.join("new/default.castr", chunkPath(name));
  expect(lstatSync(path).mode & 0o7777).toBe(0o444);
  expect(readdirSync(dirname(path))).toEqual([`${name}.cacnk`]);
});

test("plain chunks have no suffix, and both kinds are read", async () => {
  using folder = temporaryFolder();
  for (const compression of compressions) {
    const store = await openLocalStore(folder.join(compression), { create: true });
    await store.put(name, compressChunk(plain, compression));
    expect(existsSync(folder.join(compression, chunkPath(name, compression !== "none")))).toBe(true);
    expect(Buffer.compare(await readChunk([store], name, plain.length), plain)).toBe(0);
  }
});

test("a link to /dev/null means that the chunk is known to be missing; other links and special files are refused", async () => {
  using folder = temporaryFolder();
  const store = await openLocalStore(folder.path);
  const sync = new SyncLocalStore(folder.path);
  mkdirSync(folder.join(name.slice(0, 4)));
  symlinkSync("/dev/null", folder.join(chunkPath(name, false)));
  expect([await store.has(name), await store.get(name), sync.has(name), sync.get(name)]).toEqual([
    false,
    undefined,
    false,
    undefined,
  ]);
  const other = chunkName(Buffer.from("other"));
  mkdirSync(folder.join(other.slice(0, 4)));
  symlinkSync("/etc/passwd", folder.join(chunkPath(other)));
  execFileSync("mkfifo", [folder.join(chunkPath(other, false))]);
  const fifo = chunkName(Buffer.from("fifo"));
  mkdirSync(folder.join(fifo.slice(0, 4)));
  execFileSync("mkfifo", [folder.join(chunkPath(fifo))]);
  for (const wrong of [other, fifo]) {
    expect(await store.has(wrong)).toBe(false);
    await expect(store.get(wrong)).rejects.toMatchObject({ code: "store-entry-invalid" });
    expect(() => sync.get(wrong)).toThrow("is no chunk");
  }
  const linked = chunkName(Buffer.from("linked folder"));
  symlinkSync("/etc", folder.join(linked.slice(0, 4)));
  await expect(store.put(linked, chunk)).rejects.toMatchObject({ code: "store-entry-invalid" });
  expect(() => sync.put(linked, chunk)).toThrow("is no directory");
  expect(() => sync.has(linked)).toThrow("is no directory");
});

test("a file larger than a chunk can be is refused before it is read", async () => {
  using folder = temporaryFolder();
  const store = await openLocalStore(folder.path);
  mkdirSync(folder.join(name.slice(0, 4)));
  writeFileSync(folder.join(chunkPath(name)), "");
  execFileSync("truncate", ["-s", "1T", folder.join(chunkPath(name))]);
  await expect(store.get(name)).rejects.toThrow("found 1099511627776 bytes");
  expect(() => new SyncLocalStore(folder.path).get(name)).toThrow("found 1099511627776 bytes");
});

test("an empty file, which a crash can leave, is not taken for the chunk and is replaced", async () => {
  using folder = temporaryFolder();
  for (const kind of ["async", "sync"]) {
    const path = folder.join(kind, chunkPath(name));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, "");
    const store = await openLocalStore(folder.join(kind));
    expect([await store.has(name), await store.get(name)]).toEqual([false, undefined]);
    const sync = new SyncLocalStore(folder.join(kind));
    expect(kind === "async" ? await store.put(name, chunk) : sync.put(name, chunk)).toBe(true);
    sync.flush();
    expect((await store.get(name))?.bytes).toHaveLength(chunk.bytes.length);
  }
});

test("a durable synchronous store shows chunks when the batch is flushed, and drops them when it ends early", () => {
  using folder = temporaryFolder();
  const path = folder.join(chunkPath(name));
  {
    using early = new SyncLocalStore(folder.path);
    expect(early.put(name, chunk)).toBe(true);
    expect([early.has(name), early.put(name, chunk), existsSync(path)]).toEqual([true, false, false]);
    expect(early.get(name)?.bytes).toEqual(Buffer.from(chunk.bytes));
  }
  expect(readdirSync(dirname(path))).toEqual([]);
  const store = new SyncLocalStore(folder.path);
  store.put(name, chunk);
  store.flush();
  expect([existsSync(path), store.has(name), readdirSync(dirname(path))]).toEqual([true, true, [`${name}.cacnk`]]);
  const fast = new SyncLocalStore(folder.join("fast"), { durable: false });
  mkdirSync(folder.join("fast"));
  fast.put(name, chunk);
  expect(existsSync(folder.join("fast", chunkPath(name)))).toBe(true);
});

test("a batch is flushed by itself before it takes too many files", () => {
  using folder = temporaryFolder();
  const store = new SyncLocalStore(folder.path);
  for (let i = 0; i < 300; i++) {
    const bytes = Buffer.from(`chunk ${i}`);
    store.put(chunkName(bytes), { bytes, compressed: false });
  }
  const shown = readdirSync(folder.path, { recursive: true, encoding: "utf8" }).filter((path) =>
    /\/[0-9a-f]{64}$/.test(path),
  );
  expect(shown).toHaveLength(256);
  store.flush();
});

test("a store that is not there or no directory is an error that says so", async () => {
  using folder = temporaryFolder();
  writeFileSync(folder.join("file"), "");
  await expect(openLocalStore(folder.join("nothing"))).rejects.toMatchObject({ code: "store-missing" });
  await expect(openLocalStore(folder.join("file"))).rejects.toMatchObject({ code: "store-not-a-directory" });
  await expect(openLocalStore(folder.join("file"), { create: true })).rejects.toMatchObject({
    code: "store-not-a-directory",
  });
});

test("a full file system is an error with a hint, and leaves no temporary file", async (context) => {
  needPrograms(context, "mount", "umount");
  using folder = temporaryFolder();
  mkdirSync(folder.join("small"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", folder.join("small")], { stdio: "ignore" });
  } catch {
    context.skip("cannot mount a tmpfs here");
  }
  try {
    const big = randomBytes(100_000, "too large");
    const store = await openLocalStore(folder.join("small"));
    const failure = { code: "no-space", exitCode: 6, hint: expect.stringContaining("df") as string };
    await expect(store.put(chunkName(big), { bytes: big, compressed: false })).rejects.toMatchObject(failure);
    const sync = new SyncLocalStore(folder.join("small"));
    expect(() => sync.put(chunkName(big), { bytes: big, compressed: false })).toThrow(
      expect.objectContaining(failure) as Error,
    );
    expect(readdirSync(folder.join("small", chunkName(big).slice(0, 4)))).toEqual([]);
  } finally {
    execFileSync("umount", [folder.join("small")]);
  }
});

test("a store without permission to write is an error with a hint", async (context) => {
  using folder = temporaryFolder();
  chmodSync(folder.path, 0o555);
  if (process.getuid?.() === 0) context.skip("root may write everywhere");
  const store = await openLocalStore(folder.path);
  await expect(store.put(name, chunk)).rejects.toMatchObject({ code: "store-not-writable" });
});

test("casync extracts from our store, whatever the compression, and we read casync's", async (context) => {
  needPrograms(context, "casync");
  using folder = temporaryFolder();
  const blob = Buffer.concat([randomBytes(100_000, "casync"), Buffer.alloc(50_000, "text ")]);
  writeFileSync(folder.join("blob"), blob);
  for (const compression of ["zstd", "xz", "gzip"] as const) {
    const theirs = folder.join(`${compression}.castr`);
    run("casync", [
      "make",
      `--store=${theirs}`,
      `--compression=${compression}`,
      folder.join(`${compression}.caibx`),
      folder.join("blob"),
    ]);
    const source = await openLocalStore(theirs);
    const target = await openLocalStore(folder.join("ours.castr"), { create: true });
    const names = readdirSync(theirs, { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".cacnk"))
      .map((path) => path.slice(5, 69));
    expect(names.length).toBeGreaterThan(1);
    for (const [i, name] of names.entries()) {
      const stored = await source.get(name);
      const bytes = stored === undefined ? new Uint8Array() : await readAny(stored.bytes);
      expect(chunkName(bytes)).toBe(name);
      // a mixed store, with a plain chunk where casync would have compressed it
      await target.put(name, compressChunk(bytes, compressions[i % compressions.length]));
    }
    run("casync", [
      "extract",
      `--store=${target.location}`,
      folder.join(`${compression}.caibx`),
      folder.join(`out.${compression}`),
    ]);
    run("cmp", [folder.join("blob"), folder.join(`out.${compression}`)]);
  }
});

async function readAny(bytes: Uint8Array): Promise<Uint8Array> {
  const { decompressChunk } = await import("./codecs.ts");
  return decompressChunk({ bytes, compressed: true }, 300_000);
}
