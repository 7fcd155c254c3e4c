import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { defaultArchiveFlags, features } from "@imgtool/catar";
import { getFileFlags, setFileFlags } from "@imgtool/host";
import { needPrograms, needRoot, run, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { makeFixture, makePlainFixture, plainDigest, plainFlags } from "../../test/trees.ts";
import { extractTree } from "./extract-tree.ts";
import { makeArchive, makeTree } from "./make-tree.ts";

test("an archive gives the index that its directory gives", async (context) => {
  needPrograms(context, "casync");
  using folder = temporaryFolder();
  const directory = makeFixture(folder.join("tree"));
  const archive = folder.join("x.catar");
  for (const features of [[], ["--digest=sha256", "--with=unix"]]) {
    run("casync", ["make", ...features, archive, directory]);
    run("casync", ["make", ...features, `--store=${folder.join("t")}`, folder.join("theirs.caidx"), directory]);
    const made = await makeTree({ source: { archive }, index: folder.join("x.caidx"), store: folder.join("s") });
    expect(made.size).toBe(readFileSync(archive).length);
    expect(readFileSync(folder.join("x.caidx"))).toEqual(readFileSync(folder.join("theirs.caidx")));
  }
});

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

test("a stream of an archive is indexed and extracted; one that is none leaves no index", async () => {
  using folder = temporaryFolder();
  await makeArchive({
    source: makePlainFixture(folder.join("tree")),
    output: folder.join("x.catar"),
    flags: plainFlags,
  });
  const bytes = readFileSync(folder.join("x.catar"));
  const index = folder.join("x.caidx");
  const make = (archive: AsyncIterable<Uint8Array>): ReturnType<typeof makeTree> =>
    makeTree({ source: { archive }, index, store: folder.join("s"), contentDigest: true });
  for (const [broken, code] of [
    [bytes.subarray(0, 0), /^catar-/],
    [bytes.subarray(0, 20), /^catar-/],
    [bytes.subarray(0, -1), /^catar-/],
    // What does not begin as an archive of casync is taken for a tar.
    [Buffer.from("x".repeat(100)), /^tar-truncated/],
  ] as const)
    await expect(make(pieces(broken, 7))).rejects.toThrow(
      expect.objectContaining({ code: expect.stringMatching(code) as string }),
    );
  expect(existsSync(index)).toBe(false);
  expect((await make(pieces(bytes, 7))).digest).toBe(plainDigest);
  expect(await extractTree({ source: { archive: pieces(bytes, 999) }, target: folder.join("out") })).toMatchObject({
    nodes: 7,
  });
});

const immutable = 0x10;

function setImmutable(path: string, isSet: boolean): void {
  const descriptor = openSync(path, "r");
  try {
    const flags = getFileFlags(descriptor);
    setFileFlags(descriptor, isSet ? flags | immutable : flags & ~immutable);
  } finally {
    closeSync(descriptor);
  }
}

test("immutable files of a target are an error, or undone", async (context) => {
  needRoot(context);
  using folder = temporaryFolder();
  const archive = folder.join("x.catar");
  const flags = defaultArchiveFlags & ~features["flag-immutable"];
  await makeArchive({ source: makePlainFixture(folder.join("tree")), output: archive, flags });
  const target = folder.join("target");
  mkdirSync(folder.join("target", "old", "inner"), { recursive: true });
  mkdirSync(folder.join("target", "b"));
  const files = ["a", "old/inner/x", "b/gone", "b/c"].map((name) => folder.join("target", name));
  for (const file of files) writeFileSync(file, "other");
  const locked = [...files, folder.join("target", "old", "inner"), folder.join("target", "b"), target];
  try {
    for (const path of locked) setImmutable(path, true);
  } catch {
    context.skip("needs a file system with chattr attributes for TMPDIR");
  }
  try {
    await expect(extractTree({ source: { archive }, target })).rejects.toThrow(
      expect.objectContaining({ code: "extract-failed" }),
    );
    expect(await extractTree({ source: { archive }, target, undoImmutable: true })).toMatchObject({ nodes: 7 });
    expect(readFileSync(folder.join("target", "a"), "utf8")).toBe("content of a\n");
    expect(files.filter((file) => existsSync(file))).toEqual([files[0], files[3]]);
  } finally {
    for (const path of locked.toReversed()) if (existsSync(path)) setImmutable(path, false);
  }
});
