import { mkdirSync, symlinkSync } from "node:fs";
import { temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { resolveInTree } from "./index.ts";

test("links lead from the tree's root, never out of it", async () => {
  using folder = temporaryFolder();
  const tree = folder.join("tree");
  mkdirSync(folder.join("tree/usr/lib"), { recursive: true });
  mkdirSync(folder.join("tree/var"));
  symlinkSync("usr/lib", folder.join("tree/lib"));
  symlinkSync("/run", folder.join("tree/var/run"));
  symlinkSync("../../../../etc", folder.join("tree/var/up"));
  symlinkSync("/etc/hostname", folder.join("tree/usr/lib/last"));

  const inTree = async (path: string, followLast = false): Promise<string> =>
    (await resolveInTree(tree, path, { followLast })).slice(tree.length);
  expect(await inTree("/lib/modules/x")).toBe("/usr/lib/modules/x");
  expect(await inTree("var/run/lock")).toBe("/run/lock");
  expect(await inTree("var/up/passwd")).toBe("/etc/passwd");
  expect(await inTree("../../etc/passwd")).toBe("/etc/passwd");
  expect(await inTree("lib")).toBe("/lib");
  expect(await inTree("lib", true)).toBe("/usr/lib");
  expect(await inTree("lib/last")).toBe("/usr/lib/last");
  expect(await inTree("lib/last", true)).toBe("/etc/hostname");
  expect(await inTree("/")).toBe("");
  expect(await inTree("no/such/../thing")).toBe("/no/thing");
});

test("a circle of links is an error", async () => {
  using folder = temporaryFolder();
  symlinkSync("b", folder.join("a"));
  symlinkSync("a", folder.join("b"));
  await expect(resolveInTree(folder.path, "a/file")).rejects.toMatchObject({ code: "symlink-loop" });
});
