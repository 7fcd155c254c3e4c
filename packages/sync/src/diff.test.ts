import { chmodSync, lutimesSync, mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { blobFlags, ChunkIndex, chunkSizes } from "@imgtool/chunker";
import { openLocalStore } from "@imgtool/store";
import { needPrograms, randomBytes, run, temporaryFolder } from "@imgtool/testkit";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { addRichMetadata, makeFixture, makePlainFixture, plainFlags } from "../test/trees.ts";
import { changedRanges, diffIndexes } from "./diff-index.ts";
import { readIndex } from "./read-index.ts";
import { diffTrees, type TreeDifference } from "./tree/diff-tree.ts";
import { makeArchive, makeTree } from "./tree/make-tree.ts";
import type { TreeSource } from "./tree/tree-source.ts";
import { updateCost } from "./update-cost.ts";

/** An index whose chunks have the given numbers as content; a chunk of number n has n + 1 bytes. */
function indexOf(numbers: readonly number[], flags = blobFlags()): ChunkIndex {
  let end = 0;
  const ends = Float64Array.from(numbers, (number) => (end += number + 1));
  const ids = Buffer.concat(numbers.map((number) => randomBytes(32, `id ${number}`)));
  return new ChunkIndex({ flags, sizes: chunkSizes({ avg: 1000 }), ends, ids });
}

function bytes(chunks: Set<number>): number {
  return [...chunks].reduce((sum, number) => sum + number + 1, 0);
}

test("chunks in common, new and gone are counted once each, with their bytes", () => {
  const numbers = fc.array(fc.nat(20), { maxLength: 40 });
  fc.assert(
    fc.property(numbers, numbers, (previous, next) => {
      const [before, after] = [new Set(previous), new Set(next)];
      const changed = next.filter((number) => !before.has(number)).reduce((sum, number) => sum + number + 1, 0);
      expect(diffIndexes(indexOf(previous), indexOf(next))).toEqual({
        shared: after.intersection(before).size,
        sharedBytes: bytes(after.intersection(before)),
        added: after.difference(before).size,
        addedBytes: bytes(after.difference(before)),
        removed: before.difference(after).size,
        removedBytes: bytes(before.difference(after)),
        changedBytes: changed,
        comparable: true,
      });
      const ranges = [...changedRanges(indexOf(previous), indexOf(next))];
      expect(ranges.reduce((sum, { start, end }) => sum + end - start, 0)).toBe(changed);
      for (const [i, { start }] of ranges.entries()) expect(start).toBeGreaterThan(ranges[i - 1]?.end ?? -1);
    }),
  );
});

test("ranges that touch are one, and what has only moved is no change", () => {
  expect([...changedRanges(indexOf([1, 2, 3]), indexOf([3, 8, 9, 1, 7]))]).toEqual([
    { start: 4, end: 23 },
    { start: 25, end: 33 },
  ]);
  expect([...changedRanges(indexOf([1]), indexOf([]))]).toEqual([]);
});

test("indexes with different digests have nothing in common", () => {
  const result = diffIndexes(indexOf([1, 2], blobFlags("sha256")), indexOf([1, 2]));
  expect(result).toMatchObject({ shared: 0, added: 2, removed: 2, comparable: false });
});

function text(difference: TreeDifference): string {
  const what = difference.change === "changed" ? ` ${difference.what.join(",")}` : "";
  return `${difference.change} ${difference.path.toString("latin1")}${what}`;
}

async function differences(previous: TreeSource, next: TreeSource): Promise<string[]> {
  const lines: string[] = [];
  for await (const difference of diffTrees(previous, next)) lines.push(text(difference));
  return lines;
}

test("a tree equals itself in every form", async () => {
  using folder = temporaryFolder();
  const directory = makeFixture(folder.join("tree"));
  if (process.geteuid?.() === 0) addRichMetadata(directory);
  const store = folder.join("s");
  await makeTree({ source: directory, index: folder.join("x.caidx"), store, durable: false });
  await makeArchive({ source: directory, output: folder.join("x.catar") });
  const forms: readonly TreeSource[] = [
    { directory },
    { archive: folder.join("x.catar") },
    { index: await readIndex(folder.join("x.caidx")), stores: [await openLocalStore(store)] },
  ];
  for (const previous of forms) for (const next of forms) expect(await differences(previous, next)).toEqual([]);
});

test("what was added, removed and changed is told, in the order of the archive, and what about it", async () => {
  using folder = temporaryFolder();
  const before = makePlainFixture(folder.join("before"));
  const after = makePlainFixture(folder.join("after"));
  const at = (...parts: readonly string[]): string => join(after, ...parts);
  const times = (path: string): void => lutimesSync(at(path), 7, 7);
  for (const root of [before, after]) {
    mkdirSync(join(root, "gone"));
    writeFileSync(join(root, "gone", "inner"), "");
    writeFileSync(join(root, "kind"), "");
  }
  rmSync(at("gone"), { recursive: true });
  mkdirSync(at("fresh"));
  writeFileSync(at("fresh", "inner"), "");
  rmSync(at("kind"));
  mkdirSync(at("kind"));
  chmodSync(at("a"), 0o600);
  truncateSync(at("b", "c"), 100);
  rmSync(at("b", "link"));
  symlinkSync("../b", at("b", "link"));
  for (const path of [".", "a", "b", "b/c", "b/link"]) times(path);
  for (const path of [".", "a", "b", "b/c", "b/link"]) lutimesSync(join(before, path), 7, 7);
  const expected = [
    "changed a mode",
    "changed b/c content",
    "changed b/link target",
    "added fresh",
    "added fresh/inner",
    "removed gone",
    "removed gone/inner",
    "changed kind type",
  ];
  expect(await differences({ directory: before }, { directory: after })).toEqual(expected);
  const mirrored = await differences({ directory: after }, { directory: before });
  const swap: Readonly<Record<string, string>> = { added: "removed", removed: "added" };
  expect(mirrored).toEqual(expected.map((line) => line.replace(/^\w+/, (change) => swap[change] ?? change)));
});

test("only what both sides record is compared", async () => {
  using folder = temporaryFolder();
  const before = makePlainFixture(folder.join("before"));
  makePlainFixture(folder.join("after"));
  lutimesSync(folder.join("after", "b", "c"), 7, 7);
  chmodSync(folder.join("after", "a"), 0o600);
  const flags = plainFlags & ~0x20n;
  await makeArchive({ source: before, output: folder.join("x.catar"), flags });
  const found = await differences({ archive: folder.join("x.catar") }, { directory: folder.join("after") });
  // no times
  expect(found).toEqual(["changed a mode"]);
});

test("the cost of an update between casync's indexes is what they differ in", async (context) => {
  needPrograms(context, "casync");
  using folder = temporaryFolder();
  const content = randomBytes(800_000, "casync");
  writeFileSync(folder.join("1"), content);
  writeFileSync(
    folder.join("2"),
    Buffer.concat([content.subarray(0, 300_000), Buffer.from("x"), content.subarray(300_000)]),
  );
  const store = folder.join("s");
  for (const name of ["1", "2"])
    run("casync", ["make", `--store=${store}`, folder.join(`${name}.caibx`), folder.join(name)]);
  const [one, two] = [await readIndex(folder.join("1.caibx")), await readIndex(folder.join("2.caibx"))];
  const { added, addedBytes, shared } = diffIndexes(one, two);
  expect(await updateCost(one, two, store)).toMatchObject({ newChunks: added, newBytes: addedBytes });
  expect([added > 0, shared > added]).toEqual([true, true]);
  const ranges = [...changedRanges(one, two)];
  expect(ranges).toHaveLength(1);
  expect([(ranges[0]?.start ?? Infinity) <= 300_000, (ranges[0]?.end ?? 0) > 300_000]).toEqual([true, true]);
});
