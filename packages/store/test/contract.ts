/**
 * What every store driver must do, tested the same way for all: each driver's test calls
 * storeContract() with a function that opens it over a directory of chunk files.
 * @module
 */
import {
  appendFileSync,
  existsSync,
  lutimesSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { AbortedError } from "@imgtool/core";
import { randomBytes, temporaryFolder } from "@imgtool/testkit";
import { describe, expect, test } from "vitest";
import {
  chunkName,
  chunkPath,
  compressChunk,
  compressions,
  openLocalStore,
  readChunk,
  refreshAge,
  type ChunkName,
  type Compression,
  type PruneStore,
  type ReadStore,
  type StoredChunk,
  type StoreEntry,
  type WriteStore,
} from "../src/index.ts";

/** How reading can be made to fail: `cut` sends half of the chunk and ends the connection, once. */
export type ReadFailure = "once" | "cut" | "always" | "slow";

/** How writing can be made to fail: `lost` stores the chunk, and its answer never arrives, once. */
export type WriteFailure = "once" | "lost" | "always" | "slow";

/** How a listing can be made to fail, after its first page where there are several. */
export type ListFailure = "once" | "always" | "slow";

/** A case that a driver cannot be brought into. */
export interface Not {
  /** The reason, which the skipped test tells. */
  readonly not: string;
}

/** Every case of a kind: whether the driver under test can be brought into it. */
export type Cases<Kind extends string> = Readonly<Record<Kind, true | Not>>;

export interface OpenedStore {
  readonly store: ReadStore;
  /** The same store, for drivers that can write. */
  readonly writable?: WriteStore;
  /** The same store, for drivers that can list and remove. */
  readonly prunable?: PruneStore;
  /** Makes the next reads of the chunk fail. */
  readonly fail?: (name: ChunkName, failure: ReadFailure) => void;
  /** Makes the next writes of the chunk fail. */
  readonly failWrites?: (name: ChunkName, failure: WriteFailure) => void;
  /** Makes the next listings fail. */
  readonly failListings?: (failure: ListFailure) => void;
  readonly close?: () => Promise<void>;
}

/** All cases of a driver that cannot be brought into any. */
export function none<Kind extends string>(kinds: readonly Kind[], not: string): Cases<Kind> {
  return Object.fromEntries(kinds.map((kind) => [kind, { not }])) as Record<Kind, Not>;
}

export const readFailures: readonly ReadFailure[] = ["once", "cut", "always", "slow"];
export const writeFailures: readonly WriteFailure[] = ["once", "lost", "always", "slow"];
export const listFailures: readonly ListFailure[] = ["once", "always", "slow"];

/** All cases of a driver that is behind a bad network. */
export function every<Kind extends string>(kinds: readonly Kind[]): Cases<Kind> {
  return Object.fromEntries(kinds.map((kind) => [kind, true])) as Record<Kind, true>;
}

/** Opens the driver under test over a directory of chunk files. */
export type OpenDriver = (root: string) => Promise<OpenedStore>;

/** How a store that does not keep chunks as they are has them. */
export interface Disguise {
  /** Name of the file that holds a chunk, which has the suffix of compressed ones. */
  readonly storedName: (name: ChunkName) => ChunkName;
  readonly storedBytes: (name: ChunkName, chunk: StoredChunk) => Uint8Array;
}

export interface Driver {
  readonly open: OpenDriver;
  readonly disguise?: Disguise;
  readonly reads: Cases<ReadFailure>;
  /** How writing fails, of a store that can be written. */
  readonly writes: Cases<WriteFailure> | Not;
  /** Whether a writer can mark a chunk's file as used. */
  readonly renews: true | Not;
  /** How listing fails, of a store that can be listed and pruned. */
  readonly lists: Cases<ListFailure> | Not;
  /** Chunks of a page where listings come in pages: the driver is opened so. */
  readonly pageSize?: number;
  /** Whether chunks lie as files in the driver's directory while it is open. Default false. */
  readonly prunesFiles?: boolean;
}

const plain = Buffer.concat([randomBytes(3000, "contract"), Buffer.alloc(4000, "contract ")]);
const name = chunkName(plain);
const size = plain.length;
const absent = chunkName(Buffer.from("absent"));

/** Puts a chunk's file where casync would, or where the store that is tested disguises it. */
export function layChunk(
  root: string,
  bytes: Uint8Array,
  compression: Compression = "zstd",
  as: ChunkName = chunkName(bytes),
  disguise?: Disguise,
): string {
  const chunk = compressChunk(bytes, compression);
  const path = join(root, chunkPath(disguise?.storedName(as) ?? as, disguise !== undefined || chunk.compressed));
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, disguise?.storedBytes(as, chunk) ?? chunk.bytes);
  return path;
}

type Lay = (root: string, bytes: Uint8Array, compression?: Compression, as?: ChunkName) => string;

/** The name of a chunk's file, without a suffix. */
function fileName({ disguise }: Driver, chunk: ChunkName): string {
  return disguise?.storedName(chunk) ?? chunk;
}

/** layChunk() for a driver. */
function layerOf({ disguise }: Driver): Lay {
  return (root, bytes, compression, as) => layChunk(root, bytes, compression, as, disguise);
}

const hostileNames: readonly string[] = [
  "",
  "..",
  "../../../../etc/passwd",
  `${name.slice(0, 60)}/../`,
  name.toUpperCase(),
  `${name}\n`,
  `${name}0`,
  name.slice(1),
  `${name.slice(0, 63)}\0`,
  `../${name.slice(3)}`,
  `%2e%2e${name.slice(6)}`,
];

export function storeContract(title: string, driver: Driver): void {
  describe(`contract: ${title}`, () => {
    readContract(driver);
    const { writes, renews, lists } = driver;
    if (isNot(writes)) skipped("writing", writes);
    else writeContract(driver, writes);
    if (isNot(renews)) skipped("marking chunks as used", renews);
    else renewContract(driver);
    if (isNot(lists)) skipped("listing and removing", lists);
    else listContract(driver, lists);
    if (driver.prunesFiles === true) pruneContract(driver);
  });
}

function isNot(cases: true | Not | Cases<string>): cases is Not {
  return cases !== true && typeof cases["not"] === "string";
}

/** Tells in the list of tests why a driver has no such tests. */
function skipped(what: string, { not }: Not): void {
  test.runIf(false)(`${what}: ${not}`, () => expect.unreachable());
}

/** A test of a case that not every driver can be brought into. */
function testCase(
  possible: true | Not,
  title: string,
  driver: Driver,
  check: (root: string, opened: OpenedStore) => Promise<void>,
): void {
  const reason = possible === true ? "" : `: ${possible.not}`;
  test.runIf(possible === true)(`${title}${reason}`, async () => {
    expect.hasAssertions();
    await opened(driver, check)();
  });
}

/** A test's body that gets the driver opened over a new directory. */
function opened(driver: Driver, check: (root: string, opened: OpenedStore) => Promise<void>): () => Promise<void> {
  return async () => {
    using folder = temporaryFolder();
    const opened = await driver.open(folder.path);
    try {
      await check(folder.path, opened);
    } finally {
      await opened.store.close();
      await opened.close?.();
    }
  };
}

function readContract(driver: Driver): void {
  const damaged: unknown =
    driver.disguise === undefined ? "chunk-altered" : expect.stringMatching(/^chunk-(truncated|too-long)$/);
  const lay = layerOf(driver);
  test(
    "a chunk that is missing is no error until every store was asked",
    opened(driver, async (_root, { store }) => {
      expect([await store.has(absent), await store.get(absent)]).toEqual([false, undefined]);
      await expect(readChunk([store, store], absent, size)).rejects.toMatchObject({
        code: "chunk-missing",
        exitCode: 4,
        data: { chunk: absent, stores: [store.location, store.location] },
      });
    }),
  );

  test(
    "a chunk that is marked as missing is missing",
    opened(driver, async (root, { store }) => {
      const marked = fileName(driver, absent);
      mkdirSync(join(root, marked.slice(0, 4)));
      symlinkSync("/dev/null", join(root, chunkPath(marked, false)));
      expect([await store.has(absent), await store.get(absent)]).toEqual([false, undefined]);
    }),
  );

  test(
    "a chunk that is present is read, compressed in any way or plain",
    opened(driver, async (root, { store }) => {
      for (const compression of compressions) {
        const bytes = Buffer.concat([plain, Buffer.from(compression)]);
        lay(root, bytes, compression);
        expect(await store.has(chunkName(bytes))).toBe(true);
        expect((await store.get(chunkName(bytes)))?.compressed).toBe(compression !== "none");
        expect(Buffer.compare(await readChunk([store], chunkName(bytes), bytes.length), bytes)).toBe(0);
      }
      const sha256 = chunkName(plain, "sha256");
      lay(root, plain, "zstd", sha256);
      expect(Buffer.compare(await readChunk([store], sha256, size, "sha256"), plain)).toBe(0);
    }),
  );

  test(
    "a reader's own memory holds the chunk or is left alone, large enough or not",
    opened(driver, async (root, { store }) => {
      lay(root, plain, "zstd");
      const expected = await store.get(name);
      const length = expected?.bytes.length ?? 0;
      for (const bytes of [length + 100, length, length - 1, 0]) {
        const memory = new Uint8Array(new SharedArrayBuffer(bytes)).fill(0xaa);
        const found = await store.get(name, undefined, undefined, memory);
        expect(Buffer.compare(found?.bytes ?? Buffer.alloc(0), expected?.bytes ?? Buffer.alloc(1))).toBe(0);
        expect(memory.subarray(length).every((byte) => byte === 0xaa)).toBe(true);
      }
      expect(await store.get(absent, undefined, undefined, new Uint8Array(100))).toBeUndefined();
    }),
  );

  test(
    "a chunk that is altered is refused, and the next store is asked",
    opened(driver, async (root, { store }) => {
      const other = Buffer.from(plain);
      other[100] = (other[100] ?? 0) ^ 1;
      lay(root, other, "zstd", name);
      const error = { code: "chunk-altered", exitCode: 3 };
      await expect(readChunk([store], name, size)).rejects.toMatchObject({
        ...error,
        data: { chunk: name, store: store.location, expected: name, found: chunkName(other) },
      });
      await expect(readChunk([store], name, size + 1)).rejects.toMatchObject(error);
      await expect(readChunk([store], name, size - 1)).rejects.toMatchObject(error);
      using folder = temporaryFolder();
      const second = await openLocalStore(folder.path);
      await expect(readChunk([store, second], name, size)).rejects.toMatchObject(error);
      layChunk(folder.path, plain);
      expect(Buffer.compare(await readChunk([store, second], name, size), plain)).toBe(0);
    }),
  );

  test(
    "a chunk that is truncated, empty or followed by other bytes is refused",
    opened(driver, async (root, { store }) => {
      for (const compression of ["zstd", "xz", "gzip", "none"] as const) {
        const bytes = Buffer.concat([plain, Buffer.from(`truncated ${compression}`)]);
        const path = lay(root, bytes, compression);
        const length = readFileSync(path).length;
        for (const shorter of [length - 1, length >> 1, 5]) {
          truncateSync(path, shorter);
          await expect(readChunk([store], chunkName(bytes), bytes.length)).rejects.toMatchObject({
            code: damaged,
          });
        }
        truncateSync(path, 0);
        await expect(readChunk([store], chunkName(bytes), bytes.length)).rejects.toMatchObject({ name: /Error$/ });
      }
      appendFileSync(lay(root, plain, "none"), "more");
      await expect(readChunk([store], name, size)).rejects.toMatchObject({ code: damaged });
    }),
  );

  test(
    "a chunk that is larger than declared is refused before it is read",
    opened(driver, async (root, { store }) => {
      const large = randomBytes(3_000_000, "large");
      lay(root, large, "none");
      await expect(store.get(chunkName(large), undefined, 100_000)).rejects.toMatchObject({ exitCode: 3 });
      await expect(readChunk([store], chunkName(large), 65_536)).rejects.toMatchObject({ exitCode: 3 });
      lay(root, new Uint8Array(64 * 1024 ** 2), "zstd", name);
      await expect(readChunk([store], name, 65_536)).rejects.toMatchObject({ code: "chunk-altered" });
    }),
  );

  test(
    "names that try to leave the store are refused",
    opened(driver, async (_root, { store, writable }) => {
      for (const hostile of hostileNames) {
        const refusal = { code: "chunk-name-invalid", exitCode: 3 };
        await expect(store.has(hostile)).rejects.toMatchObject(refusal);
        await expect(store.get(hostile)).rejects.toMatchObject(refusal);
        await expect(readChunk([store], hostile, size)).rejects.toMatchObject(refusal);
        await expect(writable?.put(hostile, compressChunk(plain)) ?? store.get(hostile)).rejects.toMatchObject(refusal);
        await expect(writable?.keep(hostile) ?? store.has(hostile)).rejects.toMatchObject(refusal);
        await expect(store.storedSize?.(hostile) ?? store.has(hostile)).rejects.toMatchObject(refusal);
      }
    }),
  );

  test(
    "many reads at once are all answered",
    opened(driver, async (root, { store }) => {
      const chunks = Array.from({ length: 120 }, (_, i) => randomBytes(2000 + i, `many ${i}`));
      for (const bytes of chunks) lay(root, bytes);
      const read = await Promise.all(chunks.map((bytes) => readChunk([store], chunkName(bytes), bytes.length)));
      for (const [i, bytes] of chunks.entries()) expect(read[i]).toHaveLength(bytes.length);
    }),
  );

  test(
    "a signal that has fired ends a read",
    opened(driver, async (root, { store }) => {
      lay(root, plain);
      const signal = AbortSignal.abort();
      await expect(store.has(name, signal)).rejects.toBeInstanceOf(AbortedError);
      await expect(store.get(name, signal)).rejects.toBeInstanceOf(AbortedError);
      await expect(readChunk([store], name, size, "sha512-256", signal)).rejects.toBeInstanceOf(AbortedError);
      expect(await readChunk([store], name, size)).toHaveLength(size);
    }),
  );

  testCase(
    driver.reads.slow,
    "a read that is slow can be cancelled, and the store goes on",
    driver,
    async (root, opened) => {
      const { store } = opened;
      lay(root, plain);
      opened.fail?.(name, "slow");
      const started = performance.now();
      await expect(readChunk([store], name, size, "sha512-256", AbortSignal.timeout(50))).rejects.toBeInstanceOf(
        AbortedError,
      );
      expect(performance.now() - started).toBeLessThan(1500);
      const bytes = Buffer.from("another chunk");
      lay(root, bytes);
      expect(await readChunk([store], chunkName(bytes), bytes.length)).toHaveLength(bytes.length);
    },
  );

  for (const [failure, title] of [
    ["once", "a read that fails once is repeated"],
    ["cut", "a read whose connection ends within the chunk is repeated"],
  ] as const) {
    testCase(driver.reads[failure], title, driver, async (root, { store, fail }) => {
      lay(root, plain);
      fail?.(name, failure);
      expect(Buffer.compare(await readChunk([store], name, size), plain)).toBe(0);
    });
  }

  testCase(
    driver.reads.always,
    "a store that fails always is passed over; its error is told when no other has the chunk",
    driver,
    async (root, { store, fail }) => {
      lay(root, plain);
      fail?.(name, "always");
      const failure: unknown = await readChunk([store], name, size).catch((error: unknown) => error);
      expect(failure).toMatchObject({ name: /^(Network|Environment|Format)Error$/ });
      using folder = temporaryFolder();
      const second = await openLocalStore(folder.path);
      await expect(readChunk([second, store], name, size)).rejects.toMatchObject({ name: (failure as Error).name });
      layChunk(folder.path, plain);
      expect(await readChunk([store, second], name, size)).toHaveLength(size);
    },
  );
}

/** Puts a chunk so that others find it. @returns whether it is new */
async function putChunk(
  { writable }: OpenedStore,
  bytes: Uint8Array,
  signal?: AbortSignal,
): Promise<boolean | undefined> {
  const isNew = await writable?.put(chunkName(bytes), compressChunk(bytes), signal);
  await writable?.flush();
  return isNew;
}

function writeContract(driver: Driver, cases: Cases<WriteFailure>): void {
  const chunk = compressChunk(plain);

  for (const [failure, title] of [
    ["once", "a write that fails once is repeated"],
    ["lost", "a write whose answer is lost is repeated, and the chunk is whole"],
  ] as const) {
    testCase(cases[failure], title, driver, async (root, opened) => {
      opened.failWrites?.(name, failure);
      expect(await putChunk(opened, plain)).toBeTypeOf("boolean");
      const other = await driver.open(root);
      expect(Buffer.compare(await readChunk([other.store], name, size), plain)).toBe(0);
      await other.store.close();
      await other.close?.();
      const entries = await listAll(opened.prunable);
      expect(entries.map(({ kind }) => kind)).toEqual(opened.prunable === undefined ? [] : ["chunk"]);
    });
  }

  testCase(
    cases.always,
    "a write that fails always is an error, and leaves nothing under the name",
    driver,
    async (root, opened) => {
      opened.failWrites?.(name, "always");
      await expect(putChunk(opened, plain)).rejects.toMatchObject({ name: /^(Network|Environment)Error$/ });
      const other = await driver.open(root);
      expect(await other.store.has(name)).toBe(false);
      expect(await putChunk(other, plain)).toBe(true);
      expect(await readChunk([other.store], name, size)).toHaveLength(size);
      await other.store.close();
      await other.close?.();
    },
  );

  testCase(
    cases.slow,
    "a write that is slow can be cancelled, and the store goes on",
    driver,
    async (_root, opened) => {
      opened.failWrites?.(name, "slow");
      const started = performance.now();
      await expect(putChunk(opened, plain, AbortSignal.timeout(50))).rejects.toBeInstanceOf(AbortedError);
      expect(performance.now() - started).toBeLessThan(1500);
      const bytes = Buffer.from("another chunk");
      expect(await putChunk(opened, bytes)).toBe(true);
      expect(await opened.writable?.has(chunkName(bytes))).toBe(true);
    },
  );

  test(
    "two writers at once of the same chunk, in two forms: it is whole",
    opened(driver, async (root, first) => {
      const second = await driver.open(root);
      const large = Buffer.concat([plain, randomBytes(200_000, "same chunk")]);
      const put = async ({ writable }: OpenedStore, compression: Compression): Promise<void> => {
        await writable?.put(chunkName(large), compressChunk(large, compression));
        await writable?.flush();
      };
      await Promise.all([put(first, "zstd"), put(second, "zstd"), put(first, "none"), put(second, "gzip")]);
      for (const { store } of [first, second])
        expect(Buffer.compare(await readChunk([store], chunkName(large), large.length), large)).toBe(0);
      await second.store.close();
      await second.close?.();
    }),
  );

  test(
    "a chunk that was put is read back, and is new only once",
    opened(driver, async (_root, { writable }) => {
      expect(await writable?.put(name, chunk)).toBe(true);
      expect(await writable?.put(name, chunk)).toBe(false);
      expect(await writable?.has(name)).toBe(true);
      expect(Buffer.compare(await readChunk(writable === undefined ? [] : [writable], name, size), plain)).toBe(0);
      await writable?.flush();
      await writable?.flush();
    }),
  );

  test(
    "two writers at once store every chunk once",
    opened(driver, async (root, first) => {
      const second = await driver.open(root);
      const chunks = Array.from({ length: 60 }, (_, i) => randomBytes(500, `writers ${i}`));
      const put = async ({ writable }: OpenedStore): Promise<number> => {
        const results = await Promise.all(
          chunks.map(async (bytes) => writable?.put(chunkName(bytes), compressChunk(bytes))),
        );
        await writable?.flush();
        return results.filter((isNew) => isNew === true).length;
      };
      const counts = await Promise.all([put(first), put(second)]);
      expect((counts[0] ?? 0) + (counts[1] ?? 0)).toBeGreaterThanOrEqual(chunks.length);
      for (const bytes of chunks) expect(await readChunk([second.store], chunkName(bytes), 500)).toHaveLength(500);
      await second.store.close();
      await second.close?.();
    }),
  );

  test(
    "a signal that has fired ends a write",
    opened(driver, async (_root, { writable }) => {
      await expect(writable?.put(name, chunk, AbortSignal.abort())).rejects.toBeInstanceOf(AbortedError);
      expect(await writable?.has(name)).toBe(false);
    }),
  );
}

function renewContract(driver: Driver): void {
  const lay = layerOf(driver);
  const chunk = compressChunk(plain);

  test(
    "a chunk that a writer keeps or puts again counts as just used, unless it does already",
    opened(driver, async (root, { writable }) => {
      expect(await writable?.keep(absent)).toBe(false);
      const path = lay(root, plain);
      const now = Date.now();
      setLastUsed(path, now - 2 * refreshAge);
      expect(await writable?.has(name)).toBe(true);
      expect(statSync(path).mtimeMs).toBeLessThan(now - refreshAge);
      expect(await writable?.keep(name)).toBe(true);
      expect(statSync(path).mtimeMs).toBeGreaterThan(now - 5000);
      setLastUsed(path, now - 2 * refreshAge);
      expect(await writable?.put(name, chunk)).toBe(false);
      expect(statSync(path).mtimeMs).toBeGreaterThan(now - 5000);
      setLastUsed(path, now - refreshAge / 2);
      expect(await writable?.keep(name)).toBe(true);
      expect(statSync(path).mtimeMs).toBeLessThan(now - refreshAge / 3);
    }),
  );
}

function setLastUsed(path: string, time: number): void {
  lutimesSync(path, time / 1000, time / 1000);
}

type Removable = Exclude<StoreEntry, { kind: "stray" }>;

async function listAll(store: PruneStore | undefined, signal?: AbortSignal): Promise<readonly StoreEntry[]> {
  const entries: StoreEntry[] = [];
  for await (const entry of store?.list(signal) ?? []) entries.push(entry);
  return entries;
}

/** The one entry of a store with this kind, for removal. */
async function theOnly(store: PruneStore | undefined, kind: Removable["kind"]): Promise<Removable> {
  const found = (await listAll(store)).filter((entry) => entry.kind === kind);
  expect(found).toHaveLength(1);
  return found[0] as Removable;
}

/** Removes what nobody has used lately, again and again. */
async function pruneUntil(store: PruneStore | undefined, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    await delay(0);
    for await (const entry of store?.list() ?? []) {
      if (entry.kind !== "stray") await store?.remove(entry, Date.now() - refreshAge);
    }
  }
}

/** The names of chunks in a listing, and what else is in it. */
function namesIn(entries: readonly StoreEntry[]): readonly string[] {
  return entries.map((entry) => (entry.kind === "chunk" ? entry.name : `${entry.kind} ${entry.path}`)).sort();
}

function listContract(driver: Driver, cases: Cases<ListFailure>): void {
  const { pageSize } = driver;
  const chunks = Array.from({ length: 8 }, (_, i) => randomBytes(300 + i, `listed ${i}`));
  const names = chunks.map((bytes) => fileName(driver, chunkName(bytes))).sort();
  const fill = async ({ writable }: OpenedStore): Promise<void> => {
    for (const [i, bytes] of chunks.entries())
      await writable?.put(chunkName(bytes), compressChunk(bytes, i === 0 ? "none" : "zstd"));
    await writable?.flush();
  };

  test(
    `every chunk is listed once, ${pageSize === undefined ? "where listings have no pages" : `in pages of ${pageSize}`}`,
    opened(driver, async (_root, opened) => {
      expect(await listAll(opened.prunable)).toEqual([]);
      await fill(opened);
      expect(namesIn(await listAll(opened.prunable))).toEqual(names);
    }),
  );

  test(
    "a chunk that was just used stays, one that was not is removed, once, and can be stored again",
    opened(driver, async (_root, opened) => {
      const { prunable } = opened;
      await putChunk(opened, plain);
      const entry = await theOnly(prunable, "chunk");
      expect(await prunable?.remove(entry, Date.now() - 300_000)).toBe(false);
      expect(await prunable?.has(name)).toBe(true);
      expect(await prunable?.remove(entry, Date.now() + 300_000)).toBe(true);
      expect(await prunable?.remove(entry, Date.now() + 300_000)).toBe(false);
      expect([await prunable?.has(name), await listAll(prunable)]).toEqual([false, []]);
      expect(await putChunk(opened, plain)).toBe(true);
      expect(namesIn(await listAll(prunable))).toEqual([fileName(driver, name)]);
    }),
  );

  test(
    "a signal ends a listing, before it begins and within it",
    opened(driver, async (_root, opened) => {
      await fill(opened);
      await expect(opened.prunable?.list(AbortSignal.abort()).next()).rejects.toBeInstanceOf(AbortedError);
      const controller = new AbortController();
      const listing = opened.prunable?.list(controller.signal);
      expect((await listing?.next())?.done).toBe(false);
      controller.abort();
      await expect(listing?.next()).rejects.toBeInstanceOf(AbortedError);
      expect(namesIn(await listAll(opened.prunable))).toEqual(names);
    }),
  );

  testCase(
    cases.once,
    "a listing that fails once is repeated, and nothing is missing from it",
    driver,
    async (_root, opened) => {
      await fill(opened);
      opened.failListings?.("once");
      expect(namesIn(await listAll(opened.prunable))).toEqual(names);
    },
  );

  testCase(cases.always, "a listing that fails is an error, never a shorter list", driver, async (_root, opened) => {
    await fill(opened);
    opened.failListings?.("always");
    await expect(listAll(opened.prunable)).rejects.toMatchObject({ name: /^(Network|Environment)Error$/ });
  });

  testCase(cases.slow, "a listing that is slow can be cancelled", driver, async (_root, opened) => {
    await fill(opened);
    opened.failListings?.("slow");
    const started = performance.now();
    await expect(listAll(opened.prunable, AbortSignal.timeout(50))).rejects.toBeInstanceOf(AbortedError);
    expect(performance.now() - started).toBeLessThan(1500);
  });
}

/** What files alone show: times, what was cut short, what does not belong there. */
function pruneContract(driver: Driver): void {
  const lay = layerOf(driver);
  const stored = fileName(driver, name);
  test(
    "everything in the store is listed with its size and last use; what does not belong there, as such",
    opened(driver, async (root, { prunable }) => {
      expect(await listAll(prunable)).toEqual([]);
      const path = lay(root, plain);
      setLastUsed(path, 1_500_000_000_000);
      const uncompressed = lay(root, Buffer.from("plain"), "none");
      const folder = dirname(path);
      writeFileSync(join(root, "README"), "");
      mkdirSync(join(root, "ffff-not"));
      symlinkSync("/etc", join(root, "abcd"));
      writeFileSync(join(folder, "notes.txt"), "");
      writeFileSync(join(folder, `${"f".repeat(64)}.cacnk`), "");
      mkdirSync(join(folder, `${stored.slice(0, 4)}${"0".repeat(60)}.cacnk`));
      symlinkSync("/etc/passwd", join(folder, `${stored.slice(0, 4)}${"1".repeat(60)}.cacnk`));
      symlinkSync("/dev/null", join(folder, `${stored.slice(0, 4)}${"2".repeat(60)}`));
      writeFileSync(join(folder, ".tmp-0123456789abcdef-0"), "1");
      writeFileSync(join(folder, `${stored}.0123456789abcdef.tmp`), "12");
      const entries = await listAll(prunable);
      expect(entries.filter(({ kind }) => kind === "chunk").sort((a, b) => (a.path < b.path ? -1 : 1))).toMatchObject(
        [
          { path, name: stored, compressed: true, bytes: statSync(path).size, lastUsed: 1_500_000_000_000 },
          {
            path: uncompressed,
            name: fileName(driver, chunkName(Buffer.from("plain"))),
            compressed: driver.disguise !== undefined,
            bytes: statSync(uncompressed).size,
          },
        ].sort((a, b) => (a.path < b.path ? -1 : 1)),
      );
      expect(entries.filter(({ kind }) => kind === "stray")).toHaveLength(7);
      expect(
        entries
          .filter(({ kind }) => kind === "unfinished")
          .map((entry) => (entry as Removable).bytes)
          .sort((a, b) => a - b),
      ).toEqual([1, 2]);
    }),
  );

  test(
    "a chunk is removed unless it was used since, and can be stored again",
    opened(driver, async (root, { prunable }) => {
      const path = lay(root, plain);
      const old = Date.now() - 2 * refreshAge;
      setLastUsed(path, old);
      const entry = await theOnly(prunable, "chunk");
      expect(await prunable?.remove(entry, old)).toBe(false);
      // between the listing and the removal a writer finds it
      await prunable?.keep(name);
      expect(await prunable?.remove(entry, old + refreshAge)).toBe(false);
      expect(await prunable?.has(name)).toBe(true);
      expect(await prunable?.remove(entry, Date.now() + 1000)).toBe(true);
      expect([await prunable?.has(name), existsSync(dirname(path))]).toEqual([false, false]);
      expect(await prunable?.remove(entry, Date.now() + 1000)).toBe(false);
      expect(await prunable?.put(name, compressChunk(plain))).toBe(true);
      expect(await readChunk(prunable === undefined ? [] : [prunable], name, size)).toHaveLength(size);
    }),
  );

  test(
    "a removal that was cut short is ended, or undone when the chunk was used",
    opened(driver, async (root, { prunable }) => {
      const path = lay(root, plain);
      const aside = join(dirname(path), `.gc-0123456789abcdef-${stored}.cacnk`);
      renameSync(path, aside);
      expect(await prunable?.has(name)).toBe(false);
      expect(await prunable?.remove(await theOnly(prunable, "leaving"), Date.now() - 1000)).toBe(false);
      expect([await prunable?.has(name), existsSync(aside)]).toEqual([true, false]);
      renameSync(path, aside);
      lay(root, plain);
      expect(await prunable?.remove(await theOnly(prunable, "leaving"), Date.now() - 1000)).toBe(false);
      expect([await prunable?.has(name), existsSync(aside)]).toEqual([true, false]);
      renameSync(path, aside);
      expect(await prunable?.remove(await theOnly(prunable, "leaving"), Date.now() + 1000)).toBe(true);
      expect(await listAll(prunable)).toEqual([]);
    }),
  );

  test(
    "chunks that come and go under a writer's hands are stored all the same",
    opened(driver, async (root, first) => {
      const second = await driver.open(root);
      const chunks = Array.from({ length: 40 }, (_, i) => randomBytes(300, `prune ${i}`));
      const stop = new AbortController();
      const pruning = pruneUntil(second.prunable, stop.signal);
      try {
        for (let round = 0; round < 5; round++) {
          for (const bytes of chunks) {
            const path = lay(root, bytes);
            setLastUsed(path, Date.now() - 2 * refreshAge);
            if ((await first.writable?.keep(chunkName(bytes))) !== true) {
              await first.writable?.put(chunkName(bytes), compressChunk(bytes));
            }
          }
          for (const bytes of chunks) expect(await readChunk([first.store], chunkName(bytes), 300)).toHaveLength(300);
        }
      } finally {
        stop.abort();
        await pruning;
      }
      await second.store.close();
      await second.close?.();
    }),
  );
}
