import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { needPrograms, run, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { decode, encode, latin1, type Tree } from "../test/collect.ts";
import { goldenArchive, goldenDigest } from "../test/golden.ts";
import { defaultArchiveFlags, features } from "./index.ts";

const find = (tree: Tree, path: string): Tree => {
  let at = tree;
  for (const name of path.split("/")) {
    at = at.children?.find((child) => Buffer.from(child.name).toString("latin1") === name)?.tree as Tree;
  }
  return at;
};

test("an archive made by casync decodes to the tree it was made of", () => {
  const root = decode(goldenArchive());
  expect(root.children?.map((child) => Buffer.from(child.name).toString("latin1"))).toEqual([
    "a.txt",
    "capable",
    "d",
    "disk",
    "empty",
    "fifo",
    "null",
    "setuid",
    "sock",
    "sticky",
    "\u00ff\u00fe name \\#",
  ]);
  const text = find(root, "a.txt");
  expect(text.payload).toEqual(latin1("hello\n"));
  expect(text.node).toEqual({
    content: { kind: "file", size: 6 },
    metadata: {
      mode: 0o100_674,
      uid: 0,
      gid: 0,
      mtime: 1_612_325_106_123_456_789n,
      attributes: 0n,
      xattrs: [
        { name: latin1("trusted.t"), value: latin1("x") },
        { name: latin1("user.b"), value: latin1("two") },
        { name: latin1("user.empty"), value: new Uint8Array(0) },
      ],
      acl: {
        users: [
          { id: 1, permissions: 6, name: "daemon" },
          { id: 4711, permissions: 4 },
        ],
        groups: [{ id: 2, permissions: 1, name: "bin" }],
        groupObject: 4,
      },
    },
  });
  expect(find(root, "d").node.metadata.defaultAcl).toEqual({
    user: 7,
    group: 5,
    other: 5,
    mask: 7,
    users: [{ id: 1, permissions: 7, name: "daemon" }],
    groups: [],
  });
  expect(find(root, "capable").node.metadata.capability?.length).toBe(20);
  expect(find(root, "setuid").node.metadata).toMatchObject({
    mode: 0o106_755,
    uid: 65_534,
    user: "nobody",
    group: "daemon",
  });
  expect(find(root, "d/e/f").node.metadata).toMatchObject({
    uid: 12_345,
    gid: 54_321,
    attributes: features["flag-append"],
  });
  expect(find(root, "d/e/f").node.metadata).not.toHaveProperty("user");
  expect(find(root, "empty").node.metadata.attributes).toBe(features["flag-noatime"]);
  expect(find(root, "d/link").node.content).toEqual({ kind: "symlink", target: latin1("../a.txt") });
  expect(find(root, "d/link").node.metadata.mtime).toBe(946_684_799_999_999_999n);
  expect(find(root, "disk").node.content).toEqual({ kind: "block", major: 259, minor: 1_048_575 });
  expect(find(root, "null").node.content).toEqual({ kind: "character", major: 1, minor: 3 });
  expect(find(root, "fifo").node.content).toEqual({ kind: "fifo" });
  expect(find(root, "sock").node.content).toEqual({ kind: "socket" });
  expect(find(root, "sticky").node.metadata.mode).toBe(0o041_777);
});

test("it is encoded again to the same bytes", () => {
  const archive = goldenArchive();
  expect(createHash("sha512-256").update(archive).digest("hex")).toBe(goldenDigest);
  expect(encode(decode(archive, [1]), defaultArchiveFlags)).toEqual(archive);
});

test("casync lists what we encode, and archives of its own come back unchanged", (context) => {
  needPrograms(context, "casync");
  using folder = temporaryFolder();
  const ours = encode(decode(goldenArchive()), defaultArchiveFlags);
  writeFileSync(folder.join("ours.catar"), ours);
  expect(run("casync", ["digest", folder.join("ours.catar")]).trim()).toBe(goldenDigest);
  expect(run("casync", ["mtree", folder.join("ours.catar")]).split("\n").length).toBe(16);

  run("casync", ["make", folder.join("theirs.catar"), import.meta.dirname]);
  const theirs = new Uint8Array(readFileSync(folder.join("theirs.catar")));
  expect(Buffer.compare(encode(decode(theirs, [7, 4096]), defaultArchiveFlags), theirs)).toBe(0);
});
