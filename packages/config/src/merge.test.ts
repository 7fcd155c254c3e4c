import * as fc from "fast-check";
import { expect, test } from "vitest";
import { resolveProject, settingOf, valueOf } from "../test/project.ts";

// One assignment: undefined empties.
const assignments = fc.array(
  fc.option(fc.array(fc.stringMatching(/^[a-z]{1,4}$/), { minLength: 1, maxLength: 3 }), { nil: undefined }),
  {
    maxLength: 6,
  },
);
type Assignments = (string[] | undefined)[];

const lastRun = (list: Assignments): string[] =>
  list.slice(list.lastIndexOf(undefined) + 1).flatMap((items) => items ?? []);

test("lists: files add up, options come after, an empty assignment discards what came before", () => {
  fc.assert(
    fc.property(assignments, assignments, (inFile, onCommandLine) => {
      const resolution = resolveProject(
        { "mkosi.conf": ["[Content]", ...inFile.map((items) => `Packages=${items?.join(",") ?? ""}`)].join("\n") },
        { options: onCommandLine.map((items) => `Packages=${items?.join(",") ?? ""}`) },
      );
      const config = onCommandLine.includes(undefined) ? [] : lastRun(inFile);
      expect(valueOf(resolution, "Packages")).toEqual([...config, ...lastRun(onCommandLine)]);
      expect(settingOf(resolution, "Packages").origins).toHaveLength(
        (valueOf(resolution, "Packages") as string[]).length,
      );
    }),
  );
});

test("scalars: the last one wins, options before files, an empty one goes back to the default", () => {
  const scalars = fc.array(fc.constantFrom("one", "two", ""), { maxLength: 4 });
  fc.assert(
    fc.property(scalars, scalars, (inFile, onCommandLine) => {
      const resolution = resolveProject(
        { "mkosi.conf": ["[Output]", ...inFile.map((value) => `Output=${value}`)].join("\n") },
        { options: onCommandLine.map((value) => `Output=${value}`) },
      );
      const decisive = onCommandLine.at(-1) ?? inFile.at(-1) ?? "";
      expect(valueOf(resolution, "Output")).toBe(decisive === "" ? "image" : decisive);
    }),
  );
});

test("dictionaries: later pairs replace earlier ones of the same name", () => {
  const pairs = fc.array(
    fc.tuple(fc.constantFrom("A", "B", "__proto__", "constructor"), fc.stringMatching(/^[a-z]{1,3}$/)),
    {
      maxLength: 5,
    },
  );
  fc.assert(
    fc.property(pairs, pairs, (inFile, onCommandLine) => {
      const resolution = resolveProject(
        { "mkosi.conf": ["[Build]", ...inFile.map(([name, value]) => `Environment=${name}=${value}`)].join("\n") },
        { options: onCommandLine.map(([name, value]) => `Environment=${name}=${value}`) },
      );
      const value = valueOf(resolution, "Environment");
      expect(new Map(Object.entries(value as Record<string, string>))).toEqual(new Map([...inFile, ...onCommandLine]));
      expect(settingOf(resolution, "Environment").origins).toHaveLength(Object.keys(value as object).length);
    }),
  );
});

test("a wrong item is left out, named with its own line, and the others stay", () => {
  const resolution = resolveProject({ "mkosi.conf": "[Output]\nManifestFormat=json\n  xml\n  changelog\n" });
  expect(valueOf(resolution, "ManifestFormat")).toEqual(["json", "changelog"]);
  expect(resolution.errors).toMatchObject([{ file: "/project/mkosi.conf", line: 3, code: "value-invalid" }]);
});

test("lists that have a default are emptied for good", () => {
  expect(valueOf(resolveProject({ "mkosi.conf": "" }), "SplitArtifacts")).toEqual(["uki", "kernel", "initrd"]);
  expect(valueOf(resolveProject({ "mkosi.conf": "[Output]\nSplitArtifacts=" }), "SplitArtifacts")).toEqual([]);
  expect(valueOf(resolveProject({ "mkosi.conf": "" }, { options: ["SplitArtifacts="] }), "SplitArtifacts")).toEqual([]);
});
