import { mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { openStore } from "@imgtool/store";
import { needPrograms, run, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { makeFixture, makePlainFixture, plainFlags } from "../../test/trees.ts";
import { readIndex } from "../read-index.ts";
import { digestTree } from "./digest-tree.ts";
import { extractTree } from "./extract-tree.ts";
import { makeArchive, makeTree } from "./make-tree.ts";
import { openSubtree } from "./subtree.ts";

test("a path is restored below the target, where all else stays", async () => {
  using folder = temporaryFolder();
  const archive = folder.join("x.catar");
  await makeArchive({ source: makePlainFixture(folder.join("tree")), output: archive, flags: plainFlags });
  const extract = async (path: string, target: string): Promise<unknown> => {
    await using subtree = await openSubtree({ archive }, path);
    return await extractTree({ source: { subtree }, target: folder.join(target) });
  };
  expect(await extract("b", "new")).toMatchObject({ nodes: 3 });
  expect(readdirSync(folder.join("new"))).toEqual(["b"]);
  expect(readdirSync(folder.join("new", "b"))).toEqual(["c", "link"]);
  expect(statSync(folder.join("new")).mode & 0o777).toBe(0o777 & ~process.umask());
  expect(statSync(folder.join("new", "b")).mode & 0o7777).toBe(0o1711);

  mkdirSync(folder.join("old", "b"), { recursive: true, mode: 0o700 });
  writeFileSync(folder.join("old", "other"), "");
  writeFileSync(folder.join("old", "b", "other"), "");
  await extract("b/link", "old");
  await extract("a", "old");
  await extract("b", "old");
  expect(readdirSync(folder.join("old")).sort()).toEqual(["a", "b", "link", "other"]);
  expect(readdirSync(folder.join("old", "b"))).toEqual(["c", "link"]);
  expect(readlinkSync(folder.join("old", "link"))).toBe("../a");
  expect(statSync(folder.join("old")).mode & 0o777).toBe(0o700);
  expect(readFileSync(folder.join("old", "a"), "utf8")).toBe("content of a\n");

  expect(await extract(".", "whole")).toMatchObject({ nodes: 7 });
  expect(statSync(folder.join("whole")).mode & 0o777).toBe(0o755);
});

test("casync restores the same of a path", async (context) => {
  needPrograms(context, "casync");
  using folder = temporaryFolder();
  const index = folder.join("x.caidx");
  await makeTree({ source: makeFixture(folder.join("tree")), index, store: folder.join("default.castr") });
  const stores = [await openStore(folder.join("default.castr"))];
  await using subtree = await openSubtree({ index: await readIndex(index), stores }, "etc/deep");
  const result = await extractTree({ source: { subtree }, target: folder.join("ours") });
  expect(result.fromStores).toBeGreaterThan(0);
  run("casync", ["extract", index, folder.join("theirs"), "etc/deep"]);
  const digest = (target: string): Promise<string> => digestTree({ directory: folder.join(target, "deep") });
  expect(await digest("ours")).toBe(await digest("theirs"));
  expect(readdirSync(folder.join("ours"))).toEqual(["deep"]);
});
