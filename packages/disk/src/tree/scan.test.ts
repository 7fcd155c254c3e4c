import { linkSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { walk, type TreeNode } from "./node.ts";
import { scanTree, type ScanOptions } from "./scan.ts";

function paths(root: TreeNode): string[] {
  return [...walk(root)].map(({ path, node }) => `${path.toString()}${node.kind === "directory" ? "/" : ""}`);
}

async function scan(tree: string, options: Partial<ScanOptions> = {}): Promise<TreeNode> {
  return await scanTree({ tree, ...options });
}

test("names come in byte order, hard links as one node", async () => {
  using folder = temporaryFolder();
  for (const name of ["b", "a-", "a", "é", "Z"]) writeFileSync(folder.join(name), name);
  linkSync(folder.join("b"), folder.join("c"));
  const root = await scan(folder.path);
  expect(paths(root)).toEqual(["/", "Z", "a", "a-", "b", "c", "é"]);
  const [b, c] = ["b", "c"].map((name) => root.children.find((child) => child.name.toString() === name)?.node);
  expect(b).toBe(c);
  expect(b?.links).toBe(2);
});

test("rules select, exclude and make directories; later copies win", async () => {
  using folder = temporaryFolder();
  for (const path of ["a/keep", "a/drop", "a/empty/x", "b/keep"]) {
    mkdirSync(folder.join(path, ".."), { recursive: true });
    writeFileSync(folder.join(path), path);
  }
  const root = await scan(folder.path, {
    copy: [
      { source: "/a", target: "/to/here" },
      { source: "/b", target: "/to/here" },
    ],
    exclude: ["/a/drop", "/a/empty/"],
    makeDirectories: ["/made/deep", "/to/more"],
  });
  expect(paths(root)).toEqual([
    "/",
    "made/",
    "made/deep/",
    "to/",
    "to/here/",
    "to/here/empty/",
    "to/here/keep",
    "to/more/",
  ]);
  const keep = [...walk(root)].find(({ path }) => path.toString() === "to/here/keep");
  expect(keep?.node.source?.toString()).toBe(folder.join("b/keep"));
});

test("targets are left out, links are made", async () => {
  using folder = temporaryFolder();
  for (const path of ["a/keep", "a/drop", "a/empty/x"]) {
    mkdirSync(folder.join(path, ".."), { recursive: true });
    writeFileSync(folder.join(path), path);
  }
  symlinkSync("usr/bin", folder.join("a/bin"));
  const root = await scan(folder.path, {
    copy: [{ source: "/a", target: "/to" }],
    excludeTarget: ["/to/drop", "/to/empty/", "/a/keep"],
    makeSymlinks: [
      { path: "/to/new/link", target: "../keep" },
      { path: "/to/bin", target: "usr/bin" },
    ],
  });
  expect(paths(root)).toEqual(["/", "to/", "to/bin", "to/empty/", "to/keep", "to/new/", "to/new/link"]);
  const link = [...walk(root)].find(({ path }) => path.toString() === "to/new/link")?.node;
  expect([link?.kind, link?.target?.toString()]).toEqual(["symlink", "../keep"]);
  await expect(scan(folder.path, { makeSymlinks: [{ path: "/a", target: "b" }] })).rejects.toMatchObject({
    code: "copy-conflict",
  });
});

test("times after the epoch become it, earlier ones stay", async () => {
  using folder = temporaryFolder();
  for (const [name, time] of [["old", 1000.5] as const, ["new", 3000] as const]) {
    writeFileSync(folder.join(name), "");
    utimesSync(folder.join(name), time, time);
  }
  const root = await scan(folder.path, { sourceDateEpoch: 2000 });
  expect(root.children.map(({ node }) => [node.seconds, node.nanoseconds])).toEqual([
    [2000, 0],
    [1000, 500_000_000],
  ]);
});

test("links on the way to a source stay within the tree", async () => {
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree/usr/lib"), { recursive: true });
  mkdirSync(folder.join("tree/etc"));
  writeFileSync(folder.join("tree/usr/lib/own"), "");
  writeFileSync(folder.join("tree/etc/own"), "");
  symlinkSync("usr/lib", folder.join("tree/lib"));
  symlinkSync("/etc", folder.join("tree/absolute"));
  symlinkSync("../../../../etc", folder.join("tree/above"));
  symlinkSync("circle", folder.join("tree/circle"));
  for (const source of ["/lib", "/absolute", "/above"]) {
    const root = await scan(folder.join("tree"), { copy: [{ source, target: "/" }] });
    expect(paths(root)).toEqual(["/", "own"]);
  }
  await expect(scan(folder.join("tree"), { copy: [{ source: "/circle/x", target: "/" }] })).rejects.toMatchObject({
    code: "path-invalid",
  });
  await expect(scan(folder.join("tree"), { copy: [{ source: "/none", target: "/" }] })).rejects.toMatchObject({
    code: "copy-source-missing",
  });
});

test("what contradicts the tree is refused", async () => {
  using folder = temporaryFolder();
  writeFileSync(folder.join("file"), "");
  const refuse = async (options: Partial<ScanOptions>, code: string): Promise<void> =>
    await expect(scan(folder.path, options)).rejects.toMatchObject({ code });
  await refuse({ copy: [{ source: "/file", target: "/" }] }, "copy-conflict");
  await refuse({ makeDirectories: ["/file/below"] }, "copy-conflict");
  await refuse({ makeDirectories: ["/a/../b"] }, "path-invalid");
});
