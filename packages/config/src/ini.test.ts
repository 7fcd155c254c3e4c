import * as fc from "fast-check";
import { expect, test } from "vitest";
import { parseIni } from "./ini.ts";

const file = "/p/mkosi.conf";
const entries = (text: string): [section: string, key: string, value: string, lines: readonly number[]][] =>
  parseIni(text, file).sections.flatMap((section) =>
    section.entries.map(({ key, value, lines }): [string, string, string, readonly number[]] => [
      section.name,
      key,
      value,
      lines,
    ]),
  );
const mistakes = (text: string): string[] =>
  parseIni(text, file).errors.map((problem) => `${problem.line}: ${problem.message}`);

test("keys repeat, sections repeat, values continue, lines are kept", () => {
  expect(entries("[A]\nx=1\n x=2\n\n# c\n  3 # c\nx = 4 \n[B]\ny=\n  a\n[ A ]\nx==5\n")).toEqual([
    ["A", "x", "1\nx=2\n3", [2, 3, 6]],
    ["A", "x", "4", [7]],
    ["B", "y", "\na", [9, 10]],
    ["A", "x", "=5", [12]],
  ]);
});

test("a file that is indented as a whole is dedented first", () => {
  expect(entries("\t[A]\n\tx=1\n\t\t2\n\n\ty=3")).toEqual([
    ["A", "x", "1\n2", [2, 3]],
    ["A", "y", "3", [5]],
  ]);
});

test("comments have no escape, semicolons and quotes mean nothing", () => {
  expect(entries('[A]\nx=a\\#b\ny=;c\nz="d"\nw.v=true')).toEqual([
    ["A", "x", "a\\", [2]],
    ["A", "y", ";c", [3]],
    ["A", "z", '"d"', [4]],
    ["A", "w.v", "true", [5]],
  ]);
});

test("an indented line right after a header is a setting", () => {
  expect(entries("[A]\n  x=1\n[B]\n")).toEqual([["A", "x", "1", [2]]]);
});

test("line ends of other systems and a byte order mark are no content", () => {
  expect(entries("\uFEFF[A]\r\nx=1\r\n  2\r\n")).toEqual([["A", "x", "1\n2", [2, 3]]]);
});

test("mistakes name their line, and the rest is read", () => {
  expect(mistakes("x=1\ny=2\n[A\n[]\n[B]\nword\n=v\nz=3")).toEqual([
    '1: "x" is outside of any section',
    '3: section header without closing bracket: "[A"',
    "4: section header without a name",
    '6: expected Setting=Value, found "word"',
    '7: missing setting name before "="',
  ]);
  expect(entries("x=1\n[A\nq=1\n[B]\nword\nz=3")).toEqual([["B", "z", "3", [6]]]);
});

test("a file that is something else gives a bounded number of mistakes", () => {
  expect(mistakes(`[A]\n${"garbage\n".repeat(1000)}`)).toHaveLength(21);
  expect(mistakes("x".repeat(2 * 1024 ** 2))).toEqual(["1: 2097152 characters are too many for a configuration file"]);
  expect(mistakes("\n".repeat(30_000))).toEqual(["20001: 30001 lines are too many for a configuration file"]);
});

test("any text is read without a throw, and every mistake has a line of the file", () => {
  const line = fc.oneof(
    fc.constantFrom("[A]", "[", "[]", "x=1", " x", "\t", "#", "=", "", "  # c", "a = b # c", "[A] x"),
    fc.string({ unit: "binary", maxLength: 20 }),
  );
  fc.assert(
    fc.property(fc.array(line, { maxLength: 30 }), (lines) => {
      const text = lines.join("\n");
      const count = text.split(/\r\n|\n|\r/).length;
      const { sections, errors } = parseIni(text, file);
      for (const problem of errors) {
        expect(problem.file).toBe(file);
        expect(problem.line).toBeGreaterThan(0);
        expect(problem.line).toBeLessThanOrEqual(count);
      }
      for (const entry of sections.flatMap((section) => section.entries)) {
        expect(entry.lines).toHaveLength(entry.value.split("\n").length);
        expect(entry.key).not.toBe("");
      }
    }),
  );
});

test("what is written in the plain form is read back", () => {
  const word = fc.stringMatching(/^[A-Za-z0-9=%|!,;. -]*$/).map((text) => text.trim());
  const key = fc.stringMatching(/^[A-Za-z]+$/);
  const section = fc.record({
    name: key,
    entries: fc.array(fc.tuple(key, word, fc.array(word.filter((text) => text !== "")))),
  });
  fc.assert(
    fc.property(fc.array(section), (sections) => {
      const text = sections
        .map(
          ({ name, entries }) =>
            `[${name}]\n${entries.map(([key, value, more]) => [`${key}=${value}`, ...more.map((line) => `  ${line}`)].join("\n")).join("\n")}`,
        )
        .join("\n");
      expect(
        parseIni(text, file).sections.map(({ name, entries }) => [name, entries.map(({ key, value }) => [key, value])]),
      ).toEqual(
        sections.map(({ name, entries }) => [
          name,
          entries.map(([key, value, more]) => [key, [value, ...more].join("\n")]),
        ]),
      );
    }),
  );
});
