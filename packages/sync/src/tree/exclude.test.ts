import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import * as fc from "fast-check";
import { defaultArchiveFlags, excludeFile, parseWith } from "@imgtool/catar";
import { needPrograms, run, temporaryFolder, tryRun } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { openStore } from "@imgtool/store";
import { readIndex } from "../read-index.ts";
import { extractTree } from "./extract-tree.ts";
import { makeTree as makeIndex } from "./make-tree.ts";
import { ExcludeRules } from "./exclude.ts";
import { escapePath, formatListLine, listTree } from "./list-tree.ts";

const names = [
  "file",
  ".hidden",
  "sp ace",
  "a/file",
  "a/.hidden",
  "a/b/file",
  "a/b/a/x",
  "a/x",
  "b/a/file",
  "b/x",
  "b/c/x~",
  "c",
  "x~",
];

function makeTree(path: string): string {
  for (const name of names) {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), "");
  }
  return path;
}

async function list(directory: string, flags: bigint = defaultArchiveFlags): Promise<string[]> {
  const lines: string[] = [];
  for await (const node of listTree({ directory, flags })) lines.push(formatListLine(node));
  return lines;
}

test("rules hold where casync says", async () => {
  using folder = temporaryFolder();
  const tree = makeTree(folder.join("tree"));
  const left = async (rules: string): Promise<string> => {
    writeFileSync(join(tree, ".caexclude"), rules);
    const paths: string[] = [];
    for await (const { path } of listTree({ directory: tree })) paths.push(escapePath(path));
    return paths.filter((path) => ![".", ".caexclude"].includes(path)).join(" ");
  };
  const all = await left("");
  expect(all.split(" ")).toHaveLength(names.length + 6);
  expect(await left("*\n")).toBe(".hidden");
  expect(await left("# all\n\n  [!b]*  \n!x*")).toBe(".hidden b b/x x~");
  // A carriage return is a part of the name, as with casync.
  expect(await left("a\r\n")).toBe(all);
  expect(await left("a/\nb/c\n")).toBe(".hidden b b/a b/a/file b/x c file sp\\040ace x~");
  expect(await left("/c\nfile\n!b/*/file\n.?*")).toBe(
    "a a/b a/b/a a/b/a/x a/x b b/a b/a/file b/c b/c/x~ b/x sp\\040ace x~",
  );
});

test("lines that are no patterns are refused with their place", async () => {
  for (const wrong of ["/", "!", "./a", "a/..", "!//"]) {
    expect(() => ExcludeRules.parse(Buffer.from(`a\n${wrong}\n`), "x/.caexclude")).toThrow(
      expect.objectContaining({
        code: "exclude-pattern-invalid",
        data: { file: "x/.caexclude", line: 2, found: wrong },
      }),
    );
  }
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree", "a", ".caexclude"), { recursive: true });
  await expect(list(folder.join("tree"))).rejects.toThrow(expect.objectContaining({ code: "exclude-file-invalid" }));
  expect(await list(folder.join("tree"), parseWith({ excludeFile: false }))).toHaveLength(3);
});

test("a flags word without exclude-file leaves nothing out", async () => {
  using folder = temporaryFolder();
  const tree = makeTree(folder.join("tree"));
  writeFileSync(join(tree, ".caexclude"), "*\n");
  expect(await list(tree)).toHaveLength(3);
  expect(await list(tree, defaultArchiveFlags & ~excludeFile)).toHaveLength(names.length + 8);
});

test("casync leaves out the same", async (context) => {
  needPrograms(context, "casync");
  using folder = temporaryFolder();
  const component = fc.constantFrom(
    "file",
    "a",
    "b",
    "c",
    "x",
    "*",
    "?",
    "x*",
    "*~",
    "[ab]",
    "[!a]",
    ".*",
    "sp ace",
    "[b",
  );
  const pattern = fc
    .tuple(
      fc.constantFrom("", "", "!"),
      fc.constantFrom("", "/"),
      fc.array(component, { minLength: 1, maxLength: 3 }),
      fc.constantFrom("", "/"),
    )
    .map(([negation, root, components, end]) => `${negation}${root}${components.join("/")}${end}`);
  const file = fc.array(fc.oneof({ weight: 9, arbitrary: pattern }, fc.constantFrom("# a", " a\t", "", "../a")), {
    maxLength: 4,
  });
  const places = ["", "a", "a/b", "b"];
  let refused = 0;
  for (const [i, files] of fc
    .sample(fc.array(file, { minLength: 4, maxLength: 4 }), { numRuns: 40, seed: 7 })
    .entries()) {
    const tree = makeTree(folder.join(String(i)));
    for (const [at, place] of places.entries()) {
      const lines = files[at] ?? [];
      if (lines.length > 0) writeFileSync(join(tree, place, ".caexclude"), `${lines.join("\n")}\n`);
    }
    const theirs = tryRun("casync", ["list", tree]);
    const ours = await list(tree).catch(() => undefined);
    if (theirs.status !== 0) refused++;
    expect({ files, list: ours }).toEqual({
      files,
      list: theirs.status === 0 ? theirs.stdout.toString().trimEnd().split("\n") : undefined,
    });
  }
  expect(refused).toBeLessThan(20);
  const tree = makeTree(folder.join("linked"));
  writeFileSync(folder.join("rules"), "file\n");
  symlinkSync("../../rules", join(tree, "a", ".caexclude"));
  expect(await list(tree)).toEqual(run("casync", ["list", tree]).trimEnd().split("\n"));
});

test("a target with rules that make no sense serves as a seed up to there, and is replaced", async () => {
  using folder = temporaryFolder();
  const tree = makeTree(folder.join("tree"));
  await makeIndex({ source: tree, index: folder.join("x.caidx"), store: folder.join("s") });
  const target = makeTree(folder.join("target"));
  writeFileSync(join(target, "b", ".caexclude"), "..\n");
  const source = { index: await readIndex(folder.join("x.caidx")), stores: [await openStore(folder.join("s"))] };
  await extractTree({ source, target });
  expect(await list(target)).toEqual(await list(tree));
});
