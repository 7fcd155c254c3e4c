/** verify, gc and diff as a script sees them: output, events, exit codes. */
import { lutimesSync, mkdirSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  needPrograms,
  needRoot,
  randomBytes,
  run,
  type RunResult,
  type TemporaryFolder,
  temporaryFolder,
  tryRun,
} from "@imgtool/testkit";
import { beforeAll, afterAll, expect, test } from "vitest";

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url));

const imgtoolArguments = ["--conditions=@imgtool/source", main];

function imgtool(...args: readonly string[]): RunResult {
  return tryRun(process.execPath, [...imgtoolArguments, ...args]);
}

type Event = Readonly<Record<string, unknown>>;

function events({ stdout }: RunResult, type: string): readonly Event[] {
  return stdout
    .toString("utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Event)
    .filter((event) => event["type"] === type);
}

let folder: TemporaryFolder;

beforeAll(() => {
  folder = temporaryFolder();
  const content = randomBytes(600_000, "verbs");
  writeFileSync(folder.join("1.raw"), content);
  writeFileSync(folder.join("2.raw"), Buffer.concat([content.subarray(0, 300_000), randomBytes(100_000, "end")]));
  mkdirSync(folder.join("tree"));
  writeFileSync(folder.join("tree", "file"), "text");
  for (const [index, source] of [
    ["1.caibx", "1.raw"],
    ["2.caibx", "2.raw"],
    ["tree.caidx", "tree"],
  ] as const) {
    const store = `--store=${folder.join("default.castr")}`;
    run(process.execPath, [
      ...imgtoolArguments,
      "make",
      "--durable=no",
      store,
      folder.join(index),
      folder.join(source),
    ]);
  }
});

afterAll(() => folder[Symbol.dispose]());

test(
  "verify: what is whole ends with 0, what is not with 3 and every problem as an event",
  { tags: ["system"] },
  () => {
    const index = folder.join("1.caibx");
    for (const args of [
      [index],
      ["--index-only", index],
      [folder.join("default.castr")],
      [index, folder.join("1.raw")],
      [folder.join("tree.caidx")],
      [folder.join("tree.caidx"), folder.join("tree")],
    ]) {
      expect(imgtool("verify", ...args)).toMatchObject({ status: 0 });
    }
    const bad = imgtool("verify", "--json", index, folder.join("2.raw"));
    expect(bad.status).toBe(3);
    expect(events(bad, "problem").length).toBeGreaterThan(1);
    expect(events(bad, "result")).toMatchObject([{ ok: false, problems: events(bad, "problem").length }]);
    expect(events(bad, "error")).toMatchObject([{ code: "verify-failed", exitCode: 3 }]);
    writeFileSync(folder.join("cut.caibx"), "no index");
    expect(imgtool("verify", folder.join("cut.caibx")).status).toBe(3);
    expect(imgtool("verify", folder.join("1.raw"))).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("cannot tell what") as string,
    });
  },
);

test("diff: ranges and costs of blobs, changes of trees", { tags: ["system"] }, () => {
  const blobs = imgtool("diff", "--json", folder.join("1.caibx"), folder.join("2.caibx"));
  expect(blobs.status).toBe(0);
  expect(events(blobs, "range")).toHaveLength(1);
  expect(events(blobs, "result")).toMatchObject([{ chunks: { comparable: true }, update: {} }]);
  mkdirSync(folder.join("other"));
  writeFileSync(folder.join("other", "file"), "another text");
  writeFileSync(folder.join("other", "new"), "");
  const trees = imgtool("diff", folder.join("tree.caidx"), folder.join("other"));
  expect(trees.status).toBe(0);
  expect(trees.stdout.toString("utf8")).toMatch(
    /^~ file {2}content.*\n\+ new\n1 added, 0 removed, \d changed\nchunks /m,
  );
  expect(imgtool("diff", folder.join("tree.caidx"), folder.join("1.caibx")).status).toBe(2);
});

test("diff: what an update costs, of directories and archives too", { tags: ["system"] }, (context) => {
  needPrograms(context, "casync");
  using place = temporaryFolder();
  const [old, next] = [place.join("old"), place.join("next")];
  for (const tree of [old, next]) mkdirSync(tree);
  for (let i = 0; i < 30; i++) {
    writeFileSync(join(old, `f${i}`), randomBytes(50_000, `f${i}`));
    writeFileSync(join(next, `f${i}`), randomBytes(50_000, i % 5 === 0 ? `g${i}` : `f${i}`));
    for (const tree of [old, next]) utimesSync(join(tree, `f${i}`), 1_700_000_000, 1_700_000_000);
  }
  for (const tree of [old, next]) utimesSync(tree, 1_700_000_000, 1_700_000_000);
  const chunkFiles = (): number =>
    Number(run("sh", ["-c", 'find "$0" -name "*.cacnk" | wc -l', place.join("c.castr")]));
  run("casync", ["make", "--store", place.join("c.castr"), place.join("old.caidx"), old]);
  const before = chunkFiles();
  run("casync", ["make", "--store", place.join("c.castr"), place.join("next.caidx"), next]);
  const newChunks = chunkFiles() - before;
  for (const [name, tree] of [
    ["old", old],
    ["next", next],
  ] as const) {
    expect(imgtool("make", "--store", place.join("i.castr"), place.join(`${name}.caidx`), tree).status).toBe(0);
    run("casync", ["make", place.join(`${name}.catar`), tree]);
  }
  const store = `--store=${place.join("i.castr")}`;
  const costOf = (...sides: readonly string[]): object => {
    const [result] = events(imgtool("diff", "--json", store, ...sides.map((side) => place.join(side))), "result");
    return result?.["update"] as object;
  };
  const cost = costOf("old.caidx", "next.caidx");
  expect(cost).toMatchObject({ newChunks });
  for (const before of ["old", "old.catar", "old.caidx"])
    for (const after of ["next", "next.catar", "next.caidx"])
      expect([before, after, costOf(before, after)]).toEqual([before, after, cost]);
  expect(events(imgtool("diff", "--json", "--cost=no", old, next), "result")).toMatchObject([
    { nodes: { changed: 6 } },
  ]);
  expect(costOf("next", "next.catar")).toEqual({ newChunks: 0, newBytes: 0, storedBytes: 0 });
});

test("owners are shifted for verify and diff, too", { tags: ["system"] }, (context) => {
  needRoot(context);
  using place = temporaryFolder();
  const [tree, index] = [place.join("tree"), place.join("x.caidx")];
  mkdirSync(tree);
  writeFileSync(join(tree, "file"), "text");
  expect(imgtool("make", index, tree).status).toBe(0);
  run("chown", ["-R", "65536:65536", tree]);
  expect(imgtool("verify", index, tree).status).toBe(3);
  expect(imgtool("verify", "--uid-shift=65536", index, tree).status).toBe(0);
  expect(imgtool("diff", "--cost=no", index, tree).stdout.toString()).toContain("2 changed");
  expect(imgtool("diff", "--cost=no", "--uid-shift=yes", index, tree).stdout.toString()).toContain("0 changed");
});

test(
  "gc: dry run, refusal of an index that cannot be read, removal; casync extracts the rest",
  { tags: ["system"] },
  (context) => {
    needPrograms(context, "casync");
    const store = folder.join("s");
    run("cp", ["-r", folder.join("default.castr"), store]);
    const chunks = (): string[] =>
      readdirSync(store, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".cacnk"));
    for (const path of chunks()) lutimesSync(`${store}/${path}`, 1, 1);
    const before = chunks().length;
    const [one, tree] = [folder.join("1.caibx"), folder.join("tree.caidx")];
    expect(imgtool("gc", "-n", `--store=${store}`, one, tree).stdout.toString()).toMatch(/would remove [1-9]/);
    writeFileSync(folder.join("bad.caibx"), "no index");
    expect(imgtool("gc", `--store=${store}`, one, folder.join("bad.caibx")).status).toBe(3);
    expect(imgtool("gc", `--store=${store}`, one, folder.join("missing.caibx")).status).toBe(4);
    expect(chunks()).toHaveLength(before);
    const removed = imgtool("gc", "--json", "-v", `--store=${store}`, one, tree);
    expect(removed.status).toBe(0);
    expect(events(removed, "result")).toMatchObject([{ removed: before - chunks().length, strays: 0 }]);
    expect(events(removed, "removed")).toHaveLength(before - chunks().length);
    run("casync", ["extract", `--store=${store}`, one, folder.join("out")]);
    run("cmp", [folder.join("out"), folder.join("1.raw")]);
    run("casync", ["extract", `--store=${store}`, tree, folder.join("out.d")]);
    rmSync(folder.join("out"));
  },
);
