import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ReadStore, openStore } from "@imgtool/store";
import { needPrograms, randomBytes, run, temporaryFolder, tryRun } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { makeFixture, makePlainFixture } from "../../test/trees.ts";
import { readIndex } from "../read-index.ts";
import { digestTree } from "./digest-tree.ts";
import { escapePath, formatListLine, listTree } from "./list-tree.ts";
import { makeArchive, makeTree } from "./make-tree.ts";
import { openSubtree } from "./subtree.ts";
import type { TreeSource } from "./tree-source.ts";

async function list(source: TreeSource, recursive?: boolean): Promise<string[]> {
  const lines: string[] = [];
  for await (const listed of listTree(source, { recursive })) lines.push(formatListLine(listed));
  return lines;
}

test("every node is found by its path, with what is below it", async () => {
  using folder = temporaryFolder();
  await makeArchive({ source: makeFixture(folder.join("tree")), output: folder.join("x.catar") });
  const archive = folder.join("x.catar");
  const all = await list({ archive });
  let count = 0;
  for await (const { path } of listTree({ archive })) {
    await using subtree = await openSubtree({ archive }, path);
    const escaped = escapePath(path);
    const expected = all.filter((line) => {
      const listed = line.slice(line.indexOf(" ") + 1);
      return escaped === "." || listed === escaped || listed.startsWith(`${escaped}/`);
    });
    expect(await list({ subtree })).toEqual(expected);
    const depth = escaped === "." ? 0 : escaped.split("/").length;
    const near = expected.filter((line) => line.slice(line.indexOf(" ") + 1).split("/").length <= depth + 1);
    expect(await list({ subtree }, false)).toEqual(near);
    count++;
  }
  expect(count).toBe(all.length);
  await using etc = await openSubtree({ archive }, "/./etc//");
  expect(await list({ subtree: etc }, false)).toEqual(all.filter((line) => /(^\S+ etc(\/[^/]*)?$)/.test(line)));
});

test("lists and digests of paths are casync's", async (context) => {
  needPrograms(context, "casync");
  using folder = temporaryFolder();
  const index = folder.join("x.caidx");
  const store = folder.join("default.castr");
  await makeTree({ source: makeFixture(folder.join("tree")), index, store });
  const source = { index: await readIndex(index), stores: [await openStore(store)] };
  for (const path of ["etc", "etc/deep/er", "etc/text", "program", "sparse", "empty-directory", "etc/link"]) {
    await using subtree = await openSubtree(source, path);
    expect(await list({ subtree })).toEqual(run("casync", ["list", index, path]).trimEnd().split("\n"));
    const theirs = tryRun("casync", ["digest", index, path]);
    const ours = await digestTree({ subtree }).catch((error: { code: string }) => error.code);
    expect(ours).toBe(theirs.status === 0 ? theirs.stdout.toString().trim() : "path-not-digestible");
  }
});

test("only the chunks that are needed are read", async () => {
  using folder = temporaryFolder();
  const tree = folder.join("tree");
  for (let i = 0; i < 20; i++) {
    mkdirSync(join(tree, `d${i}`, "inner"), { recursive: true });
    writeFileSync(join(tree, `d${i}`, "big"), randomBytes(1_000_000, `big ${i}`));
    writeFileSync(join(tree, `d${i}`, "inner", "small"), `small ${i}`);
  }
  await makeTree({ source: tree, index: folder.join("x.caidx"), store: folder.join("s") });
  const index = await readIndex(folder.join("x.caidx"));
  const store = await openStore(folder.join("s"));
  let reads = 0;
  const counting: ReadStore = {
    location: store.location,
    has: (name) => store.has(name),
    get: (...rest) => {
      reads++;
      return store.get(...rest);
    },
    close: () => store.close(),
  };
  await using subtree = await openSubtree({ index, stores: [counting] }, "d7/inner/small");
  expect(await digestTree({ subtree })).toMatch(/^[0-9a-f]{64}$/);
  expect(index.count).toBeGreaterThan(200);
  expect(reads).toBeLessThan(12);
  expect(subtree.counts().fromStores).toBe(reads);
});

test("paths that there are not, and places that have none, are told apart", async () => {
  using folder = temporaryFolder();
  const directory = makePlainFixture(folder.join("tree"));
  const archive = folder.join("x.catar");
  await makeArchive({ source: directory, output: archive });
  const failing: readonly (readonly [TreeSource, string, string])[] = [
    [{ archive }, "nope", "path-missing"],
    [{ archive }, "a/b", "path-missing"],
    [{ archive }, "b/link/x", "path-missing"],
    [{ archive }, "b/../a", "path-invalid"],
    [{ archive }, "a\0", "path-invalid"],
    [{ archive: "-" }, "a", "path-not-seekable"],
    [{ directory }, "a", "path-not-seekable"],
    [{ archive: folder.join("missing") }, "a", "source-missing"],
  ];
  for (const [source, path, code] of failing)
    await expect(openSubtree(source, path)).rejects.toThrow(expect.objectContaining({ code }));
});

test("tables that lie are refused, and never read outside the archive", async () => {
  using folder = temporaryFolder();
  const archive = folder.join("x.catar");
  await makeArchive({ source: makePlainFixture(folder.join("tree")), output: archive });
  const bytes = readFileSync(archive);
  const tableSize = Number(bytes.readBigUInt64LE(bytes.length - 16));
  const codes = new Set<string>();
  for (let at = bytes.length - tableSize; at < bytes.length; at += 8) {
    for (const value of [0n, 1n, 2n ** 40n, 2n ** 64n - 1n]) {
      const altered = Buffer.from(bytes);
      altered.writeBigUInt64LE(value, at);
      if (altered.equals(bytes)) continue;
      writeFileSync(archive, altered);
      try {
        await using subtree = await openSubtree({ archive }, "b/c");
        await digestTree({ subtree });
      } catch (error) {
        codes.add((error as { code: string }).code);
      }
    }
  }
  expect([...codes].every((code) => code.startsWith("catar-") || code === "path-missing")).toBe(true);
  expect(codes).toContain("catar-goodbye");
  expect(codes).toContain("path-missing");
  writeFileSync(archive, bytes.subarray(0, 10));
  await expect(openSubtree({ archive }, "b/c")).rejects.toThrow(expect.objectContaining({ code: "catar-truncated" }));
});
