import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { needPrograms, needRoot, run, temporaryFolder } from "@imgtool/testkit";
import { openLocalStore } from "@imgtool/store";
import type { LogLevel, Progress } from "@imgtool/core";
import { silentProgress } from "@imgtool/core";
import { expect, test } from "vitest";
import { addRichMetadata, makeFixture, makePlainFixture, plainDigest, plainFlags } from "../../test/trees.ts";
import { readIndex } from "../read-index.ts";
import { digestTree } from "./digest-tree.ts";
import { extractTree } from "./extract-tree.ts";
import { makeArchive, makeTree } from "./make-tree.ts";
import { treeSeed } from "./tree-seed.ts";

const plain = (directory: string): Promise<string> => digestTree({ directory, flags: plainFlags });

test("what is archived is restored equal, from an archive and from an index", async () => {
  using folder = temporaryFolder();
  const source = makePlainFixture(folder.join("tree"));
  await makeArchive({ source, output: folder.join("x.catar"), flags: plainFlags });
  const fromArchive = await extractTree({ source: { archive: folder.join("x.catar") }, target: folder.join("a") });
  expect(fromArchive).toMatchObject({ nodes: 7, fromStores: 0 });

  await makeTree({ source, index: folder.join("x.caidx"), store: folder.join("s"), flags: plainFlags });
  const index = await readIndex(folder.join("x.caidx"));
  const stores = [await openLocalStore(folder.join("s"))];
  const fromIndex = await extractTree({ source: { index, stores }, target: folder.join("b") });
  expect(fromIndex).toMatchObject({ nodes: 7, bytes: index.totalSize, fromStores: index.count, fromSeeds: 0 });
  // a set-id bit is restored by root only
  const expected = process.geteuid?.() === 0 ? plainDigest : await plain(folder.join("b"));
  expect(await plain(folder.join("a"))).toBe(expected);
  expect(await plain(folder.join("b"))).toBe(expected);
  expect(readlinkSync(folder.join("b", "b", "link"))).toBe("../a");
});

test("trees with everything go from us to casync and back", async (context) => {
  needPrograms(context, "casync");
  needRoot(context);
  using folder = temporaryFolder();
  const source = makeFixture(folder.join("tree"));
  addRichMetadata(source);
  const made = await makeTree({ source, index: folder.join("x.caidx"), store: folder.join("s"), contentDigest: true });
  run("casync", ["extract", `--store=${folder.join("s")}`, folder.join("x.caidx"), folder.join("theirs")]);
  expect(run("casync", ["digest", folder.join("theirs")]).trim()).toBe(made.digest);

  run("casync", ["make", folder.join("y.caidx"), source, `--store=${folder.join("t")}`]);
  const index = await readIndex(folder.join("y.caidx"));
  await extractTree({
    source: { index, stores: [await openLocalStore(folder.join("t"))] },
    target: folder.join("ours"),
  });
  expect(run("casync", ["digest", folder.join("ours")]).trim()).toBe(made.digest);
  expect(statSync(folder.join("ours", "sparse")).blocks).toBe(0);

  run("casync", ["make", folder.join("y.catar"), source]);
  await extractTree({ source: { archive: folder.join("y.catar") }, target: folder.join("again"), punchHoles: false });
  expect(run("casync", ["digest", folder.join("again")]).trim()).toBe(made.digest);
  expect(statSync(folder.join("again", "sparse")).blocks).toBeGreaterThan(3000);
});

test("a target that is there is changed to the archive, whatever stands in it", async (context) => {
  needRoot(context);
  using folder = temporaryFolder();
  const source = makeFixture(folder.join("tree"));
  addRichMetadata(source);
  const { digest } = await makeArchive({ source, output: folder.join("x.catar"), contentDigest: true });
  const target = folder.join("target");
  mkdirSync(target);
  // everything is of another kind than in the archive, or has metadata that must go
  mkdirSync(folder.join("target", "program", "sub"), { recursive: true });
  writeFileSync(folder.join("target", "program", "sub", "file"), "");
  writeFileSync(folder.join("target", "etc"), "");
  symlinkSync("/nowhere", folder.join("target", "empty-directory"));
  mkdirSync(folder.join("target", "dangling"));
  writeFileSync(folder.join("target", "library"), "old");
  run("setfattr", ["-n", "user.old", "-v", "x", target]);
  writeFileSync(folder.join("target", "stray"), "");
  mkdirSync(folder.join("target", "stray directory", "x"), { recursive: true });
  await extractTree({ source: { archive: folder.join("x.catar") }, target });
  expect(await digestTree({ directory: target })).toBe(digest);
  // and once more, over itself
  await extractTree({ source: { archive: folder.join("x.catar") }, target });
  expect(await digestTree({ directory: target })).toBe(digest);
});

test("files that are equal stay, those that differ anywhere are replaced, shared ones are not touched", async () => {
  using folder = temporaryFolder();
  const source = makePlainFixture(folder.join("tree"));
  await makeArchive({ source, output: folder.join("x.catar"), flags: plainFlags });
  const target = folder.join("target");
  const extract = async (): Promise<void> => {
    await extractTree({ source: { archive: folder.join("x.catar") }, target });
  };
  const file = folder.join("target", "b", "c");
  await extract();
  const digest = await plain(target);
  const inode = lstatSync(file).ino;
  chmodSync(file, 0o600);
  await extract();
  expect([lstatSync(file).ino, await plain(target)]).toEqual([inode, digest]);

  const bytes = readFileSync(file);
  for (const place of [0, 100_000, bytes.length - 1]) {
    const other = Buffer.from(bytes);
    other[place] = (other[place] as number) ^ 1;
    writeFileSync(file, other);
    await extract();
    expect(readFileSync(file).equals(bytes)).toBe(true);
    expect(await plain(target)).toBe(digest);
  }

  linkSync(file, folder.join("shared"));
  writeFileSync(folder.join("shared"), Buffer.alloc(bytes.length));
  await extract();
  expect(await plain(target)).toBe(digest);
  expect(readFileSync(folder.join("shared")).equals(Buffer.alloc(bytes.length))).toBe(true);
});

test("files that the archive lacks stay when asked", async () => {
  using folder = temporaryFolder();
  const source = makePlainFixture(folder.join("tree"));
  await makeArchive({ source, output: folder.join("x.catar"), flags: plainFlags });
  mkdirSync(folder.join("target"));
  writeFileSync(folder.join("target", "mine"), "");
  await extractTree({ source: { archive: folder.join("x.catar") }, target: folder.join("target"), delete: false });
  expect(readdirSync(folder.join("target"))).toContain("mine");
  await extractTree({ source: { archive: folder.join("x.catar") }, target: folder.join("target") });
  expect(readdirSync(folder.join("target"))).not.toContain("mine");
});

test("a failure leaves no target that was not there, and names the path", async () => {
  using folder = temporaryFolder();
  const source = makePlainFixture(folder.join("tree"));
  await makeArchive({ source, output: folder.join("x.catar"), flags: plainFlags });
  const whole = readFileSync(folder.join("x.catar"));
  writeFileSync(folder.join("cut.catar"), whole.subarray(0, whole.length - 100));
  const target = folder.join("target");
  await expect(extractTree({ source: { archive: folder.join("cut.catar") }, target })).rejects.toThrow(
    expect.objectContaining({ code: "catar-truncated" }),
  );
  expect(readdirSync(folder.path).sort()).toEqual(["cut.catar", "tree", "x.catar"]);
  await expect(
    extractTree({ source: { archive: folder.join("x.catar") }, target, signal: AbortSignal.abort() }),
  ).rejects.toThrow(expect.objectContaining({ code: "aborted" }));
  writeFileSync(target, "");
  await expect(extractTree({ source: { archive: folder.join("x.catar") }, target })).rejects.toThrow(
    expect.objectContaining({ code: "target-not-a-directory" }),
  );
});

test("a missing chunk is an error, and the target is not made", async () => {
  using folder = temporaryFolder();
  const source = makePlainFixture(folder.join("tree"));
  await makeTree({ source, index: folder.join("x.caidx"), store: folder.join("s"), flags: plainFlags });
  rmSync(folder.join("s"), { recursive: true });
  const index = await readIndex(folder.join("x.caidx"));
  const stores = [await openLocalStore(folder.join("s"), { create: true })];
  await expect(extractTree({ source: { index, stores }, target: folder.join("t") })).rejects.toThrow(
    expect.objectContaining({ code: "chunk-missing" }),
  );
  expect(existsSync(folder.join("t"))).toBe(false);
});

test("an older tree is a seed: what did not change is not fetched", async () => {
  using folder = temporaryFolder();
  const source = makeFixture(folder.join("tree"));
  const first = await makeTree({ source, index: folder.join("1.caidx"), store: folder.join("s"), contentDigest: true });
  const one = await readIndex(folder.join("1.caidx"));
  const stores = [await openLocalStore(folder.join("s"))];
  const seed = await treeSeed(source, { index: one });
  const seeded = await extractTree({ source: { index: one, stores: [], seeds: [seed] }, target: folder.join("out") });
  expect(seeded).toMatchObject({ fromSeeds: one.count, fromStores: 0, bytesFetched: 0 });
  expect(await digestTree({ directory: folder.join("out") })).toBe(first.digest);

  writeFileSync(folder.join("tree", "etc", "text"), "changed\n");
  await makeTree({ source, index: folder.join("2.caidx"), store: folder.join("s") });
  const two = await readIndex(folder.join("2.caidx"));
  const updated = await extractTree({ source: { index: two, stores }, target: folder.join("out") });
  expect(updated.fromStores).toBeGreaterThan(0);
  expect(updated.fromStores).toBeLessThan(4);
  expect(updated.fromSeeds + updated.fromStores).toBe(two.count);
  expect(await digestTree({ directory: folder.join("out") })).toBe(await digestTree({ directory: source }));

  // a seed that changed, shrank or went away since is passed over
  writeFileSync(folder.join("tree", "program"), "other");
  rmSync(folder.join("tree", "library"));
  let held = 0;
  for (let i = 0; i < one.count; i++) if ((await seed.read(one.id(i), one.size(i))) !== undefined) held++;
  expect(held).toBeLessThan(one.count);
  await seed.close();
});

test("without privilege: device nodes are a clear error, owners and set-id bits are not restored", (context) => {
  needRoot(context);
  using folder = temporaryFolder();
  const script = `
    import { extractTree } from "@imgtool/sync";
    const told = [];
    const progress = { start: () => ({ advance() {}, setTotal() {}, detail() {}, done() {}, [Symbol.dispose]() {} }), log: (level, message) => told.push(message) };
    try {
      await extractTree({ source: { archive: process.argv[1] }, target: process.argv[2], progress });
      console.log(JSON.stringify({ told }));
    } catch (error) {
      console.log(JSON.stringify({ code: error.code, message: error.message, told }));
    }`;
  const extract = (archive: string): { code?: string; message?: string; told: string[] } => {
    const args = [
      "--conditions=@imgtool/source",
      "--input-type=module",
      "-e",
      script,
      archive,
      folder.join("open", "out"),
    ];
    const result = spawnSync(process.execPath, args, {
      cwd: import.meta.dirname,
      uid: 65_534,
      gid: 65_534,
      encoding: "utf8",
    });
    // For example in /root, into which nobody else may look.
    if (result.error !== undefined || result.stdout === "") {
      const reason = result.error?.message ?? result.stderr.slice(0, 200);
      context.skip(`an unprivileged user cannot run this checkout: ${reason}`);
    }
    return JSON.parse(result.stdout);
  };
  const source = makeFixture(folder.join("tree"));
  addRichMetadata(source);
  chmodSync(folder.path, 0o755);
  mkdirSync(folder.join("open"));
  chmodSync(folder.join("open"), 0o777);
  run("casync", ["make", folder.join("x.catar"), source]);
  expect(extract(folder.join("x.catar"))).toMatchObject({
    code: "device-needs-root",
    message: "cannot make the block device disk: it needs privilege",
  });
  expect(existsSync(folder.join("open", "out"))).toBe(false);

  run("casync", ["--without=device-nodes", "make", folder.join("y.catar"), source]);
  const { told } = extract(folder.join("y.catar"));
  expect(told.some((message) => message.includes("extended attributes trusted.*"))).toBe(true);
  const status = lstatSync(folder.join("open", "out", "program"));
  expect([status.uid, status.mode & 0o7777]).toEqual([65_534, 0o755]);
});

test("what a file system cannot keep is told once", async (context) => {
  needRoot(context);
  using folder = temporaryFolder();
  mkdirSync(folder.join("ram"));
  try {
    run("mount", ["-t", "ramfs", "none", folder.join("ram")]);
  } catch {
    context.skip("needs to mount a ramfs");
  }
  try {
    const source = makeFixture(folder.join("tree"));
    addRichMetadata(source);
    await makeArchive({ source, output: folder.join("x.catar") });
    const told: [LogLevel, string][] = [];
    const progress: Progress = { ...silentProgress, log: (level, message) => void told.push([level, message]) };
    await extractTree({ source: { archive: folder.join("x.catar") }, target: folder.join("ram", "out"), progress });
    expect(new Set(told.map(([, message]) => message)).size).toBe(told.length);
    expect(told.map(([, message]) => message)).toContain(
      "extended attributes user.* were not restored: the file system has none",
    );
  } finally {
    run("umount", [folder.join("ram")]);
  }
});
