import {
  chmodSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { openLocalStore, type ReadStore } from "@imgtool/store";
import type { ChunkIndex } from "@imgtool/chunker";
import {
  randomBytes,
  run,
  temporaryFolder,
  type TemporaryFolder,
  mountFileSystem,
  sharedBytes,
} from "@imgtool/testkit";
import { expect, test } from "vitest";
import { readIndex } from "../read-index.ts";
import { digestTree } from "./digest-tree.ts";
import { extractTree } from "./extract-tree.ts";
import { makeTree } from "./make-tree.ts";
import { treeSeed } from "./tree-seed.ts";

interface Published {
  readonly index: ChunkIndex;
  readonly stores: readonly ReadStore[];
  readonly digest: string;
}

async function publish(source: string, folder: TemporaryFolder): Promise<Published> {
  const index = folder.join("o.caidx");
  await makeTree({ source, index, store: folder.join("s"), durable: false });
  const digest = await digestTree({ directory: source });
  return { index: await readIndex(index), stores: [await openLocalStore(folder.join("s"))], digest };
}

const time = new Date(1_600_000_000_000);
const inode = (path: string): number => statSync(path).ino;

/** A tree with files to be linked, in the folder `path`. */
function makeLinks(path: string): void {
  mkdirSync(`${path}/d`, { recursive: true });
  const content = randomBytes(300_000, "linked");
  for (const name of ["one", "d/same", "d/mode", "d/other"]) writeFileSync(`${path}/${name}`, content);
  writeFileSync(`${path}/d/other`, Buffer.concat([content.subarray(0, 299_999), Uint8Array.of(1)]));
  linkSync(`${path}/one`, `${path}/three`);
  writeFileSync(`${path}/empty`, "");
  writeFileSync(`${path}/empty, too`, "");
  chmodSync(`${path}/d/mode`, 0o600);
  for (const name of ["one", "d/same", "d/mode", "d/other", "empty", "empty, too"])
    utimesSync(`${path}/${name}`, time, time);
}

test("hard links are kept within an archive: files that are equal in everything", async () => {
  using folder = temporaryFolder();
  makeLinks(folder.join("tree"));
  const { digest, ...source } = await publish(folder.join("tree"), folder);
  const at = (name: string): string => folder.join("linked", name);
  await extractTree({ source, target: folder.join("linked"), hardlink: true });
  expect(await digestTree({ directory: folder.join("linked") })).toBe(digest);
  expect([at("one"), at("three"), at("d/same")].map(inode)).toEqual(Array(3).fill(inode(at("d/same"))));
  expect([at("d/mode"), at("d/other"), at("empty"), at("empty, too")].map((path) => statSync(path).nlink)).toEqual([
    1, 1, 1, 1,
  ]);

  // over itself, and over a tree in which they are not linked, or something else stands
  for (const name of ["three", "d/mode", "d/other"]) {
    unlinkSync(at(name));
    writeFileSync(at(name), "other");
  }
  const kept = inode(at("one"));
  for (let times = 0; times < 2; times++) {
    await extractTree({ source, target: folder.join("linked"), hardlink: true });
    expect(inode(at("one"))).toBe(kept);
    expect(await digestTree({ directory: folder.join("linked") })).toBe(digest);
    expect([at("one"), at("three"), at("d/same")].map(inode)).toEqual(Array(3).fill(inode(at("d/same"))));
    expect(readdirSync(folder.join("linked")).sort()).toEqual(["d", "empty", "empty, too", "one", "three"]);
  }
  await extractTree({ source, target: folder.join("copied") });
  expect(statSync(folder.join("copied", "one")).nlink).toBe(1);
});

test("files of a directory that is a seed are linked when they are equal in everything", async () => {
  using folder = temporaryFolder();
  makeLinks(folder.join("tree"));
  const { index, stores, digest } = await publish(folder.join("tree"), folder);
  makeLinks(folder.join("former"));
  const former = (name: string): string => folder.join("former", name);
  chmodSync(former("d/mode"), 0o644);
  writeFileSync(former("d/other"), readFileSync(former("one")));
  utimesSync(former("d/other"), time, time);
  // a link that leads out of the seed is not followed
  renameSync(former("d/same"), folder.join("outside"));
  symlinkSync(folder.join("outside"), former("d/same"));
  const seed = await treeSeed(folder.join("former"), { index });
  const before = readFileSync(former("d/other"));
  const target = folder.join("out");
  const source = { index, stores, seeds: [seed] };
  await extractTree({ source, target, hardlink: true });
  expect(await digestTree({ directory: target })).toBe(digest);
  expect(inode(`${target}/one`)).toBe(inode(former("one")));
  expect(inode(`${target}/three`)).toBe(inode(former("one")));
  for (const name of ["d/mode", "d/other"]) expect(statSync(`${target}/${name}`).nlink).toBe(1);
  expect(inode(`${target}/d/same`)).not.toBe(inode(folder.join("outside")));
  expect(readFileSync(former("d/other")).equals(before)).toBe(true);
  // once more: what is linked stays so, and the seed's file is not written to
  await extractTree({ source, target, hardlink: true });
  expect(inode(`${target}/one`)).toBe(inode(former("one")));
  // without links, the seed's files must not be touched: they get other inodes
  await extractTree({ source, target });
  expect(inode(`${target}/one`)).not.toBe(inode(former("one")));
  expect(await digestTree({ directory: target })).toBe(digest);
  await seed.close();
});

for (const kind of ["btrfs", "xfs"] as const) {
  test(`on ${kind}, changed files share what stays`, { tags: ["system"] }, async (context) => {
    using folder = temporaryFolder();
    using system = mountFileSystem(context, kind, folder);
    const at = (name: string): string => `${system.path}/${name}`;
    const mebibyte = 1024 ** 2;
    mkdirSync(at("former/d"), { recursive: true });
    const contents = ["changed", "longer", "shorter", "equal", "d/deep"].map(
      (name) => [name, randomBytes(mebibyte, name)] as const,
    );
    for (const [name, content] of contents) writeFileSync(at(`former/${name}`), content);
    run("cp", ["-a", "--reflink=never", at("former"), folder.join("next")]);
    const next = (name: string): string => folder.join("next", name);
    const change = (name: string, edit: (bytes: Buffer) => Buffer): void =>
      writeFileSync(next(name), edit(readFileSync(next(name))));
    change("changed", (bytes) => bytes.fill(0, 500_000, 600_000));
    change("longer", (bytes) => Buffer.concat([bytes, randomBytes(5000, "more")]));
    change("shorter", (bytes) => bytes.subarray(0, 700_001));
    change("d/deep", (bytes) => bytes.fill(1, 0, 1));
    writeFileSync(next("new"), randomBytes(10_000, "new"));
    const { index, stores, digest } = await publish(folder.join("next"), folder);

    const seed = await treeSeed(at("former"), { index });
    await extractTree({ source: { index, stores, seeds: [seed] }, target: at("seeded") });
    expect(await digestTree({ directory: at("seeded") })).toBe(digest);
    const shared = (tree: string): Record<string, number> =>
      Object.fromEntries(
        ["changed", "longer", "shorter", "equal", "d/deep", "new"].map((name) => [
          name,
          sharedBytes(at(`${tree}/${name}`)),
        ]),
      );
    const seeded = shared("seeded");
    for (const name of ["changed", "longer", "equal", "d/deep"]) {
      expect(seeded[name], name).toBeGreaterThan(0.85 * mebibyte);
      expect(seeded[name], name).toBeLessThanOrEqual(mebibyte);
    }
    expect(seeded["shorter"]).toBeGreaterThan(680_000);
    expect(seeded["new"]).toBe(0);
    await seed.close();

    // and a target that is there shares with what it was, for as long as somebody has that
    run("cp", ["-a", "--reflink=always", at("former"), at("over")]);
    await extractTree({ source: { index, stores }, target: at("over") });
    expect(await digestTree({ directory: at("over") })).toBe(digest);
    expect(shared("over")).toEqual(seeded);

    await extractTree({ source: { index, stores }, target: at("alone"), reflink: false });
    expect(new Set(Object.values(shared("alone")))).toEqual(new Set([0]));
    for (const [name, content] of contents) expect(readFileSync(at(`former/${name}`)).equals(content)).toBe(true);
  });
}

test("a tree that was not finished is gone on with", async () => {
  using folder = temporaryFolder();
  makeLinks(folder.join("tree"));
  writeFileSync(folder.join("tree", "z"), randomBytes(400_000, "z"));
  const { index, stores, digest } = await publish(folder.join("tree"), folder);
  const store = stores[0] as ReadStore;
  let left = 8;
  const failing: ReadStore = {
    location: store.location,
    has: (name) => store.has(name),
    get: async (name, ...rest) => {
      if (left-- === 0) throw new Error("the network is gone");
      return store.get(name, ...rest);
    },
    close: async () => {},
  };
  mkdirSync(folder.join("o"));
  const target = folder.join("o", "out");
  await expect(extractTree({ source: { index, stores: [failing] }, target })).rejects.toThrow("the network is gone");
  expect(readdirSync(folder.join("o"))).toEqual([".out.partial"]);
  expect(statSync(folder.join("o", ".out.partial")).mode & 0o777).toBe(0o700);
  // what does not belong there goes
  writeFileSync(folder.join("o", ".out.partial", "stray"), "");
  writeFileSync(folder.join("o", ".out.partial", ".imgtool-0123456789abcdef"), "");
  const result = await extractTree({ source: { index, stores }, target, delete: false });
  expect(result.fromSeeds).toBeGreaterThan(2);
  expect(result.fromStores).toBeLessThan(index.count - 2);
  expect(await digestTree({ directory: target })).toBe(digest);
  expect(readdirSync(folder.join("o"))).toEqual(["out"]);

  // in a target that stays as it is, what a killed run left goes all the same
  writeFileSync(folder.join("o", "out", ".imgtool-0123456789abcdef"), "");
  writeFileSync(folder.join("o", "out", ".imgtool-mine"), "");
  await extractTree({ source: { index, stores }, target, delete: false });
  expect(readdirSync(target)).toContain(".imgtool-mine");
  expect(readdirSync(target)).not.toContain(".imgtool-0123456789abcdef");
});
