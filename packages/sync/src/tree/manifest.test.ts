import { createHash } from "node:crypto";
import { parseWith } from "@imgtool/catar";
import { needPrograms, run, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { addRichMetadata, makeFixture, makePlainFixture, plainFlags } from "../../test/trees.ts";
import { makeArchive } from "./make-tree.ts";
import { mtreeLines } from "./mtree.ts";
import { formatStatus, statTree } from "./stat.ts";
import { openSubtree } from "./subtree.ts";
import type { TreeSource } from "./tree-source.ts";

async function mtree(source: TreeSource, contentDigests?: boolean): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of mtreeLines(source, { contentDigests })) lines.push(line);
  return lines;
}

test("a manifest has a line for each node", async () => {
  using folder = temporaryFolder();
  const source = makePlainFixture(folder.join("tree"));
  const digest = createHash("sha512-256").update("content of a\n").digest("hex");
  expect((await mtree({ directory: source, flags: plainFlags })).filter((line) => !line.startsWith("b/c"))).toEqual([
    ". type=dir mode=0755 time=1612325106.123456795",
    `a type=file mode=0644 size=13 time=1612325106.123456789 sha512256digest=${digest}`,
    "b type=dir mode=1711 time=1612325106.123456792",
    "b/link type=link mode=0777 link=../a time=1612325106.123456791",
    "fifo type=fifo mode=0640 time=1612325106.123456793",
    "\\377\\376\\040\\012\\134\\043 type=file mode=0644 size=0 time=1612325106.123456794 " +
      `sha512256digest=${createHash("sha512-256").digest("hex")}`,
  ]);
});

const featureRequests: readonly (readonly string[])[] = [
  [],
  ["unix"],
  ["fat"],
  ["chattr", "symlinks"],
  ["fuse"],
  ["16bit-uids", "read-only"],
];

test("manifests are casync's, but for what it says wrongly of special nodes", async (context) => {
  needPrograms(context, "casync");
  using folder = temporaryFolder();
  const source = makeFixture(folder.join("tree"));
  if (process.geteuid?.() === 0) addRichMetadata(source);
  const archive = folder.join("x.catar");
  for (const features of featureRequests) {
    await makeArchive({ source, output: archive, flags: parseWith({ with: features }) });
    const theirs = run("casync", ["mtree", archive]).trimEnd().split("\n");
    const corrected = theirs.map((line) => (/type=(dir|file) /.test(line) ? line : line.replace(/ flags=\S+/, "")));
    expect(await mtree({ archive })).toEqual(corrected);
  }
  const ours = await mtree({ directory: source });
  expect(ours).toEqual(
    run("casync", ["mtree", source])
      .trimEnd()
      .split("\n")
      .map((line) => (/type=(dir|file) /.test(line) ? line : line.replace(/ flags=\S+/, ""))),
  );
});

test("without digests a manifest is the same but for them", async () => {
  using folder = temporaryFolder();
  const directory = makePlainFixture(folder.join("tree"));
  const archive = folder.join("x.catar");
  await makeArchive({ source: directory, output: archive, flags: plainFlags });
  const withDigests = await mtree({ archive });
  const expected = withDigests.map((line) => line.replace(/ sha512256digest=\w+$/, ""));
  expect(expected).not.toEqual(withDigests);
  expect(await mtree({ archive }, false)).toEqual(expected);
  expect(await mtree({ directory, flags: plainFlags }, false)).toEqual(expected);
  await using subtree = await openSubtree({ archive }, "b");
  expect(await mtree({ subtree }, false)).toEqual(expected.filter((line) => line.startsWith("b")));
  expect(await statTree({ subtree }, { contentDigests: false })).toEqual(await statTree({ subtree }));
});

test("digests in a manifest are called what they are", async () => {
  using folder = temporaryFolder();
  const directory = makePlainFixture(folder.join("tree"));
  const [, line] = await mtree({ directory, flags: parseWith({ with: ["permissions"], digest: "sha256" }) });
  expect(line).toBe(
    `a type=file mode=0644 size=13 sha256digest=${createHash("sha256").update("content of a\n").digest("hex")}`,
  );
});

test("status is what casync prints", async (context) => {
  needPrograms(context, "casync");
  using folder = temporaryFolder();
  const source = makeFixture(folder.join("tree"));
  if (process.geteuid?.() === 0) addRichMetadata(source);
  const archive = folder.join("x.catar");
  const paths = [".", "etc", "etc/text", "etc/link", "fifo", "socket", "program", "etc/empty", "etc/deep"];
  if (process.geteuid?.() === 0) paths.push("disk", "null");
  for (const features of featureRequests) {
    const flags = parseWith({ with: features });
    await makeArchive({ source, output: archive, flags });
    const kept = (path: string): boolean =>
      features.length === 0 || ![...paths.slice(3, 6), ...paths.slice(9)].includes(path);
    for (const path of paths.filter(kept)) {
      await using subtree = await openSubtree({ archive }, path);
      const status = await statTree({ subtree });
      const theirs = run("casync", ["stat", archive, ...(path === "." ? [] : [path])]);
      expect(`${formatStatus(status)}\n`).toBe(theirs);
    }
  }
  expect(`${formatStatus(await statTree({ directory: source }))}\n`).toBe(run("casync", ["stat", source]));
  expect(`${formatStatus(await statTree({ archive }))}\n`).toBe(run("casync", ["stat", archive]));
  using elsewhere = temporaryFolder("memory");
  // Every directory has one there, whatever the file system.
  const plain = { directory: elsewhere.path };
  expect(`${formatStatus(await statTree(plain))}\n`).toBe(run("casync", ["stat", elsewhere.path]));
});
