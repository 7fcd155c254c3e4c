/** Trees from tar archives and back: GNU tar extracts, casync judges. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { openLocalStore } from "@imgtool/store";
import { encodeTar, type TarEntry } from "@imgtool/tar";
import { needPrograms, needRoot, run, type TemporaryFolder, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { digestTree, exportTar, makeArchive, makeTree, readIndex, type TreeSource } from "../src/index.ts";
import { makeFixture } from "./trees.ts";

const everything = ["--xattrs", "--xattrs-include=*", "--acls"];

async function makeFrom(folder: TemporaryFolder, archive: string | AsyncIterable<Uint8Array>): Promise<string> {
  const made = await makeTree({
    source: { archive },
    index: folder.join("made.caidx"),
    store: folder.join("store"),
    durable: false,
    contentDigest: true,
  });
  return made.digest ?? "none";
}

async function exported(source: TreeSource): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const bytes of exportTar({ source })) parts.push(bytes);
  return Buffer.concat(parts);
}

/** A fixture without what no tar holds, with lists, attributes and hard links. */
function makeInput(folder: TemporaryFolder): string {
  const tree = makeFixture(folder.join("tree"));
  run("rm", [folder.join("tree", "socket")]);
  run("ln", [folder.join("tree", "program"), folder.join("tree", "etc", "hard")]);
  run("setfacl", ["-m", "u:1:rwx,g:daemon:r,m::rx", folder.join("tree", "library")]);
  run("setfacl", ["-d", "-m", "u:daemon:rx", folder.join("tree", "etc", "deep")]);
  run("setfattr", ["-n", "user.a=b%", "-v", "value", folder.join("tree", "library")]);
  mkdirSync(folder.join("tree", ...Array.from({ length: 12 }, (_, i) => `${i}${"long".repeat(10)}`)), {
    recursive: true,
  });
  return tree;
}

test("a tar gives the archive of the tree that GNU tar extracts", { tags: ["system"] }, async (context) => {
  needPrograms(context, "casync", "tar", "setfacl", "setfattr");
  needRoot(context);
  using folder = temporaryFolder();
  const tree = makeInput(folder);
  const digests = new Set<string>();
  for (const format of [
    ["--format=pax", ...everything],
    ["--format=pax", "--sparse", ...everything],
    ["--format=pax", "--sparse", "--sparse-version=0.1", ...everything],
    ["--format=pax", "--sparse", "--sparse-version=0.0", ...everything],
    ["--format=gnu"],
    ["--format=gnu", "--sparse"],
    ["--format=ustar"],
  ]) {
    const tar = folder.join("x.tar");
    const target = folder.join("extracted");
    // What ustar cannot say is left out.
    const without = format.includes("--format=ustar") ? ["--exclude=./etc/link", "--exclude=./*long*"] : [];
    run("tar", [...format, ...without, "-C", tree, "-cf", tar, "."]);
    mkdirSync(target);
    run("tar", [...everything, "-C", target, "-xpf", tar]);
    const digest = run("casync", ["digest", target]).trim();
    expect([format, await makeFrom(folder, tar)]).toEqual([format, digest]);
    digests.add(digest);
    // The tar that imgtool makes of it extracts to the same tree.
    const index = await readIndex(folder.join("made.caidx"));
    const store = await openLocalStore(folder.join("store"));
    const back = await exported({ index, stores: [store] });
    writeFileSync(folder.join("back.tar"), back);
    run("rm", ["-rf", target]);
    mkdirSync(target);
    run("tar", [...everything, "-C", target, "-xpf", folder.join("back.tar")]);
    expect(run("casync", ["digest", target]).trim()).toBe(digest);
    expect(Buffer.compare(await exported({ directory: target }), back)).toBe(0);
    run("rm", ["-rf", target]);
  }
  expect(digests.size).toBeGreaterThan(1);
});

async function* slowly(path: string): AsyncGenerator<Uint8Array> {
  const bytes = readFileSync(path);
  for (let from = 0; from < bytes.length; from += 50_021) yield bytes.subarray(from, from + 50_021);
}

test("compressed tars and streams give the same archive", { tags: ["system"] }, async (context) => {
  needPrograms(context, "tar", "xz", "zstd", "gzip");
  using folder = temporaryFolder();
  const tree = makeFixture(folder.join("tree"));
  const tar = folder.join("x.tar");
  run("tar", ["--format=pax", "--exclude=./socket", "-C", tree, "-cf", tar, "."]);
  const digest = await makeFrom(folder, tar);
  run("xz", ["-k", tar]);
  run("zstd", ["-q", tar]);
  run("gzip", ["-k", tar]);
  for (const suffix of ["", ".xz", ".zst", ".gz"]) {
    expect([suffix, await makeFrom(folder, `${tar}${suffix}`)]).toEqual([suffix, digest]);
    expect([suffix, await makeFrom(folder, slowly(`${tar}${suffix}`))]).toEqual([suffix, digest]);
  }
  const made = await makeArchive({
    source: { archive: `${tar}.zst` },
    output: folder.join("x.catar"),
    contentDigest: true,
  });
  expect([made.digest, await digestTree({ archive: folder.join("x.catar") })]).toEqual([digest, digest]);
  for (const suffix of [".xz", ".zst", ".gz"]) {
    const short = folder.join(`short${suffix}`);
    writeFileSync(short, readFileSync(`${tar}${suffix}`).subarray(0, -2000));
    await expect(makeFrom(folder, short)).rejects.toMatchObject({ code: "compressed-invalid", exitCode: 3 });
  }
});

const base = { mode: 0o644, uid: 0, gid: 0, mtime: 0n };
const bytesOf = (text: string): Buffer => Buffer.from(text);

function file(path: string, text: string): TarEntry {
  return { ...base, kind: "file", path: bytesOf(path), size: text.length, content: [bytesOf(text)] };
}

function directory(path: string, mode = 0o755): TarEntry {
  return { ...base, kind: "directory", path: bytesOf(path), mode };
}

function link(kind: "hardlink" | "symlink", path: string, target: string): TarEntry {
  return { ...base, kind, path: bytesOf(path), target: bytesOf(target) };
}

async function digestOf(...entries: readonly TarEntry[]): Promise<string> {
  using folder = temporaryFolder();
  const made = await makeFrom(folder, encodeTar(entries));
  expect(readdirSync(folder.path).toSorted()).toEqual(["made.caidx", "store"]);
  return made;
}

test("the order of members is of no account, and later ones replace earlier ones", async () => {
  const plain = await digestOf(directory("./"), directory("a"), file("a/x", "1"), file("b", "2"), file("c", "1"));
  expect(await digestOf(file("c", "1"), file("b", "2"), file("a/x", "1"), directory("a"), directory("."))).toBe(plain);
  expect(
    await digestOf(
      directory("./"),
      file("a", "a file, at first"),
      directory("a", 0o700),
      link("symlink", "b", "elsewhere"),
      file("a/x", "1"),
      file("b", "2"),
      link("hardlink", "c", "a/x"),
      directory("./a/"),
    ),
  ).toBe(plain);
});

function refusal(...entries: readonly TarEntry[]): Promise<unknown> {
  return digestOf(...entries).catch((error: unknown) => error);
}

test("what leads out of the tree, or to nothing, is refused with the offset", async () => {
  expect(await refusal(file("../x", ""))).toMatchObject({ code: "tar-path", data: { offset: 0 } });
  expect(await refusal(file("a", ""), file("b/../../x", ""))).toMatchObject({
    code: "tar-path",
    data: { offset: 512 },
  });
  expect(await refusal(link("symlink", "a", "/etc"), file("a/passwd", ""))).toMatchObject({ code: "tar-conflict" });
  expect(await refusal(file("a/b", ""), file("a", ""))).toMatchObject({ code: "tar-conflict" });
  expect(await refusal(file(".", ""))).toMatchObject({ code: "tar-conflict" });
  expect(await refusal(link("hardlink", "a", "b"))).toMatchObject({ code: "tar-link" });
  expect(await refusal(link("hardlink", "a", "../../etc/shadow"))).toMatchObject({ code: "tar-path" });
  expect(await refusal(directory("d"), link("hardlink", "a", "d"))).toMatchObject({ code: "tar-link" });
  expect(await refusal(directory("d/".repeat(70)))).toMatchObject({ code: "catar-too-deep" });
  expect(await refusal({ ...file("a", ""), acl: "user::rwx,user:nobody-knows:rwx" })).toMatchObject({
    code: "tar-acl",
  });
});

test("an archive that is cut off leaves no index", async () => {
  using folder = temporaryFolder();
  const parts: Uint8Array[] = [];
  for await (const bytes of encodeTar([file("a", "x".repeat(5000)), file("b", "y")])) parts.push(bytes);
  const whole = Buffer.concat(parts);
  for (const length of [100, 512, 3000, 5632, 6144, 6700]) {
    const path = folder.join("short.tar");
    writeFileSync(path, whole.subarray(0, length));
    await expect(makeFrom(folder, path)).rejects.toMatchObject({ code: "tar-truncated", exitCode: 3 });
    expect(readdirSync(folder.path)).not.toContain("made.caidx");
  }
});
