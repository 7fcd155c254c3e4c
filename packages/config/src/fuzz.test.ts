// Whatever a project contains, resolving it ends, does not throw, and names a place for every problem.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { resolveProject } from "../test/project.ts";
import { settings, summaryJson, summaryText } from "./index.ts";

const value = fc.oneof(
  fc.constantFrom(
    "",
    "yes",
    "no",
    "auto",
    "%",
    "%d",
    "%o%i%v",
    "|",
    "!",
    "|!debian",
    "a,b",
    "a:b:c",
    "'",
    '"',
    "\\",
    "1",
    "-1",
  ),
  fc.constantFrom(
    "/",
    ".",
    "..",
    "~",
    "$HOME",
    "${",
    "mkosi.conf",
    "mkosi.conf.d",
    "a.conf",
    "\0",
    "__proto__=1",
    "9".repeat(400),
  ),
  fc.string({ unit: "binary", maxLength: 30 }),
);
const key = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...settings.map((setting) => setting.name)) },
  fc.constantFrom(
    "PathExists",
    "SystemdVersion",
    "HostArchitecture",
    "Image",
    "__proto__",
    "toString",
    "XZ",
    "RootSize",
    "@Packages",
  ),
  fc.string({ unit: "binary", maxLength: 10 }),
);
const section = fc.constantFrom(
  "Match",
  "TriggerMatch",
  "Assert",
  "TriggerAssert",
  "Include",
  "Config",
  "Distribution",
  "Output",
  "Content",
  "Validation",
  "Build",
  "Runtime",
  "Host",
  "Packages",
  "Partitions",
  "__proto__",
);
const file = fc
  .array(
    fc.oneof(
      section.map((name) => `[${name}]`),
      fc.tuple(key, value).map(([name, text]) => `${name}=${text}`),
      value,
    ),
    { maxLength: 15 },
  )
  .map((lines) => lines.join("\n"));
const path = fc.constantFrom(
  "mkosi.conf",
  "mkosi.default",
  "a.conf",
  "mkosi.local.conf",
  "mkosi.conf.d/a.conf",
  "mkosi.conf.d/b/mkosi.conf",
  "mkosi.profiles/a.conf",
  "mkosi.images/a.conf",
  "mkosi.images/b/mkosi.conf",
  "mkosi.version",
  "mkosi.seed",
  "mkosi.rootpw",
  "mkosi.env",
  "mkosi.credentials",
  "mkosi.extra",
  "mkosi.postinst.d/a,b",
  "mkosi.uki-profiles/a.conf",
);

test("any project, any options", () => {
  fc.assert(
    fc.property(
      fc.dictionary(path, file, { maxKeys: 5 }),
      fc.array(fc.tuple(key, value), { maxLength: 4 }),
      (files, options) => {
        const resolution = resolveProject(files, {
          options: options.map(([name, text]) => `${name.replaceAll("=", "")}=${text}`),
          environment: { HOME: "/home", "": "empty" },
        });
        expect(resolution.config === undefined).toBe(resolution.errors.length > 0);
        for (const problem of [...resolution.errors, ...resolution.warnings]) {
          expect(problem.message).not.toBe("");
          const placed = problem.file !== undefined || problem.option !== undefined;
          expect(placed || problem.code === "config-missing").toBe(true);
        }
        expect(JSON.parse(JSON.stringify(summaryJson(resolution)))).toEqual(summaryJson(resolution));
        expect(summaryText(resolution, { all: true })).toContain("[Content]");
      },
    ),
    { numRuns: 300 },
  );
});

test("no setting throws for any value, and a refused value is named with its line", () => {
  fc.assert(
    fc.property(fc.constantFrom(...settings), value, (setting, text) => {
      const plain = text.replace(/[\n\r#]/g, "");
      const { errors } = resolveProject({ "mkosi.conf": `[${setting.section}]\n${setting.name}=${plain}\n` });
      for (const problem of errors) expect(problem).toMatchObject({ file: "/project/mkosi.conf", line: 2 });
    }),
    { numRuns: 500 },
  );
});
