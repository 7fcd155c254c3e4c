// @module-tag system
import { spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { setTimeout } from "node:timers/promises";
import { dirname, join } from "node:path";
import type { ChunkIndex } from "@imgtool/chunker";
import { chunkPath, openLocalStore, refreshAge, type PruneStore } from "@imgtool/store";
import { needPrograms, randomBytes, run, type TemporaryFolder, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { collectGarbage } from "./collect-garbage.ts";
import { makeBlob } from "./make-blob.ts";
import { readIndex } from "./read-index.ts";
import { slices } from "./test-blobs.ts";
import { verifyChunks } from "./verify.ts";

const first = randomBytes(1_200_000, "first version");
const second = Buffer.concat([first.subarray(0, 500_000), randomBytes(400_000, "second version")]);

const fake = (digit: string): string => chunkPath(digit.repeat(64));

/** Two versions with chunks in common, in one store whose chunks were used two days ago. */
async function twoVersions(folder: TemporaryFolder): Promise<readonly [ChunkIndex, ChunkIndex]> {
  for (const [name, content] of Object.entries({ "1.caibx": first, "2.caibx": second })) {
    await makeBlob({
      source: slices(content, 65_536),
      index: folder.join(name),
      store: folder.join("s"),
      durable: false,
      chunkSizes: { avg: 4096 },
    });
  }
  age(folder.join("s"));
  return [await readIndex(folder.join("1.caibx")), await readIndex(folder.join("2.caibx"))];
}

function namesOf(index: ChunkIndex): Set<string> {
  return new Set(Array.from({ length: index.count }, (_, i) => index.name(i)));
}

/** Paths below the store; links are not followed (readdir's own recursion does): one of the tests has one that leads around. */
function everythingIn(store: string, folder = ""): string[] {
  return readdirSync(join(store, folder), { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? [path, ...everythingIn(store, path)] : [path];
    })
    .sort();
}

function filesIn(store: string): string[] {
  return everythingIn(store).filter((path) => path.length > 5);
}

function age(store: string): void {
  const time = (Date.now() - 48 * refreshAge) / 1000;
  for (const path of filesIn(store)) lutimesSync(`${store}/${path}`, time, time);
}

async function isWhole(index: ChunkIndex, store: string): Promise<boolean> {
  return (await verifyChunks({ index, stores: [store] })).problems === 0;
}

test("the same chunks go as with casync gc, and casync extracts what stays", async (context) => {
  needPrograms(context, "casync");
  using folder = temporaryFolder();
  const [one] = await twoVersions(folder);
  cpSync(folder.join("s"), folder.join("theirs"), { recursive: true });
  run("casync", ["gc", `--store=${folder.join("theirs")}`, folder.join("1.caibx")]);
  const result = await collectGarbage({ indexes: [one], store: await openLocalStore(folder.join("s")) });
  expect(result.removed).toBeGreaterThan(3);
  // folders that have become empty are gone as well
  expect(everythingIn(folder.join("s"))).toEqual(everythingIn(folder.join("theirs")));
  run("casync", ["extract", `--store=${folder.join("s")}`, folder.join("1.caibx"), folder.join("out")]);
  expect(Buffer.compare(readFileSync(folder.join("out")), first)).toBe(0);
});

test("several indexes together keep all their chunks; a dry run and a second run remove nothing", async () => {
  using folder = temporaryFolder();
  const [one, two] = await twoVersions(folder);
  const store = await openLocalStore(folder.join("s"));
  const before = filesIn(folder.join("s"));
  expect(await collectGarbage({ indexes: [one, two], store })).toMatchObject({ removed: 0, kept: before.length });
  const dry = await collectGarbage({ indexes: [two], store, dryRun: true });
  expect(filesIn(folder.join("s"))).toEqual(before);
  expect(await collectGarbage({ indexes: [two], store })).toEqual(dry);
  expect(dry.removed + dry.kept).toBe(before.length);
  expect(await collectGarbage({ indexes: [two], store })).toMatchObject({ removed: 0, kept: dry.kept });
  expect([await isWhole(two, folder.join("s")), await isWhole(one, folder.join("s"))]).toEqual([true, false]);
});

test("what was used within the grace period stays", async () => {
  using folder = temporaryFolder();
  const [one, two] = await twoVersions(folder);
  const store = await openLocalStore(folder.join("s"));
  // the second version is published again: its chunks count as just used
  const again = {
    source: slices(second, 65_536),
    index: folder.join("again"),
    store: folder.join("s"),
    durable: false,
    chunkSizes: { avg: 4096 },
  };
  expect((await makeBlob(again)).newChunks).toBe(0);
  const result = await collectGarbage({ indexes: [one], store });
  expect([result.removed, result.recent > 0]).toEqual([0, true]);
  expect(await isWhole(two, folder.join("s"))).toBe(true);
  expect((await collectGarbage({ indexes: [one], store, gracePeriod: -1000 })).removed).toBe(result.recent);
});

test("without an index, or with those of another store, nothing is removed", async () => {
  using folder = temporaryFolder();
  const [one] = await twoVersions(folder);
  const other = {
    source: slices(randomBytes(200_000, "other"), 65_536),
    index: folder.join("o"),
    durable: false,
    chunkSizes: { avg: 4096 },
  };
  await makeBlob({ ...other, store: folder.join("other") });
  age(folder.join("other"));
  const store = await openLocalStore(folder.join("other"));
  await expect(collectGarbage({ indexes: [], store })).rejects.toMatchObject({ code: "gc-without-index", exitCode: 2 });
  await expect(collectGarbage({ indexes: [one], store })).rejects.toMatchObject({ code: "gc-foreign-store" });
  expect(await isWhole(await readIndex(folder.join("o")), folder.join("other"))).toBe(true);
});

test("strays and hostile entries are left alone; files of dead writers go", async () => {
  using folder = temporaryFolder();
  const [one] = await twoVersions(folder);
  const root = folder.join("s");
  const victim = folder.join("victim");
  writeFileSync(victim, "not ours");
  for (const digit of ["a", "b", "c", "d"]) mkdirSync(`${root}/${digit.repeat(4)}`, { recursive: true });
  symlinkSync(victim, `${root}/${fake("a")}`);
  mkdirSync(`${root}/${fake("b")}`);
  symlinkSync(dirname(victim), `${root}/eeee`);
  writeFileSync(`${root}/${fake("c")}`, "");
  truncateSync(`${root}/${fake("c")}`, 2 ** 40);
  writeFileSync(`${root}/dddd/.tmp-0123456789abcdef-1f`, "old");
  writeFileSync(`${root}/README`, "hello");
  age(root);
  writeFileSync(`${root}/bbbb/.tmp-fedcba9876543210-0`, "new");
  const strays: string[] = [];
  const store = await openLocalStore(root);
  const result = await collectGarbage({ indexes: [one], store, onStray: ({ path }) => strays.push(path) });
  expect(result).toMatchObject({ unfinished: 1, strays: 4 });
  expect(strays.sort()).toEqual([`${root}/README`, `${root}/${fake("a")}`, `${root}/${fake("b")}`, `${root}/eeee`]);
  expect([readFileSync(victim, "utf8"), existsSync(`${root}/bbbb/.tmp-fedcba9876543210-0`)]).toEqual([
    "not ours",
    true,
  ]);
  expect([existsSync(`${root}/${fake("c")}`), existsSync(`${root}/dddd`)]).toEqual([false, false]);
});

test("a removal that was cut short is undone for a chunk that an index names", async () => {
  using folder = temporaryFolder();
  const [one] = await twoVersions(folder);
  const name = one.name(3);
  const path = folder.join("s", chunkPath(name));
  run("mv", [path, `${dirname(path)}/.gc-0123456789abcdef-${name}.cacnk`]);
  expect(await isWhole(one, folder.join("s"))).toBe(false);
  await collectGarbage({ indexes: [one], store: await openLocalStore(folder.join("s")) });
  expect(await isWhole(one, folder.join("s"))).toBe(true);
});

/** Ages what a store holds just before each removal, as if the listing were two days old. */
function watched(store: PruneStore, before: (name: string) => Promise<void>): PruneStore {
  return {
    location: store.location,
    has: (name, signal) => store.has(name, signal),
    keep: (name, signal) => store.keep(name, signal),
    get: (name, ...rest) => store.get(name, ...rest),
    put: (name, ...rest) => store.put(name, ...rest),
    flush: () => store.flush(),
    close: () => store.close(),
    list: (signal) => store.list(signal),
    async remove(entry, unusedSince) {
      if (entry.kind === "chunk") await before(entry.name);
      return store.remove(entry, unusedSince);
    },
  };
}

test("a writer that begins while chunks are removed gets a whole index", async () => {
  using folder = temporaryFolder();
  const [one, two] = await twoVersions(folder);
  let writer: Promise<unknown> | undefined;
  const store = watched(await openLocalStore(folder.join("s")), async () => {
    writer ??= makeBlob({
      source: slices(second, 65_536),
      index: folder.join("new"),
      store: folder.join("s"),
      durable: false,
      chunkSizes: { avg: 4096 },
    });
    await setTimeout(1);
  });
  await collectGarbage({ indexes: [one], store });
  await writer;
  expect(await isWhole(two, folder.join("s"))).toBe(true);
});

test("killed at any moment, it leaves a valid store", { tags: ["system"] }, async () => {
  using folder = temporaryFolder();
  const [one, two] = await twoVersions(folder);
  const garbage = namesOf(two).difference(namesOf(one)).size;
  const script = `
    import { openLocalStore } from "@imgtool/store";
    import { collectGarbage, readIndex } from "@imgtool/sync";
    console.log("ready");
    const store = await openLocalStore(process.argv[1]);
    await collectGarbage({ indexes: [await readIndex(process.argv[2])], store });
  `;
  let partly = 0;
  for (let round = 0; round < 6; round++) {
    const root = folder.join(`s${round}`);
    cpSync(folder.join("s"), root, { recursive: true });
    age(root);
    const flags = ["--conditions=@imgtool/source", "--input-type=module", "-e", script];
    const child = spawn(process.execPath, [...flags, root, folder.join("1.caibx")], {
      cwd: import.meta.dirname,
      stdio: ["ignore", "pipe", "inherit"],
    });
    await new Promise((resolve) => child.stdout.once("data", resolve));
    const killedAt = readdirSync(root).length - round;
    while (readdirSync(root).length > killedAt && child.exitCode === null) await setTimeout(1);
    child.kill("SIGKILL");
    await new Promise((resolve) => child.once("exit", resolve));
    expect(await isWhole(one, root)).toBe(true);
    const { removed } = await collectGarbage({ indexes: [one], store: await openLocalStore(root) });
    if (removed > 0 && removed < garbage) partly++;
    expect(filesIn(root)).toHaveLength(namesOf(one).size);
    // and what was removed can be stored again
    await makeBlob({
      source: slices(second, 65_536),
      index: folder.join("again"),
      store: root,
      durable: false,
      chunkSizes: { avg: 4096 },
    });
    expect(await isWhole(two, root)).toBe(true);
  }
  expect(partly).toBeGreaterThan(0);
});
