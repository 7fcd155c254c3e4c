import * as fc from "fast-check";
import { expect, test } from "vitest";
import { splitWords } from "@imgtool/core";
import { globMatches } from "./glob.ts";
import { normalizePath, resolvePath } from "./paths.ts";
import { compareVersions, versionMatches } from "./version.ts";

test("words with shell quoting", () => {
  expect(splitWords(" a 'b c' \"d \\\" e\" f\\ g ''h", " ")).toEqual(["a", "b c", 'd " e', "f g", "h"]);
  expect(splitWords("'' \"\"", " ")).toEqual(["", ""]);
  expect(() => splitWords("'a", " ")).toThrow("missing closing '");
  expect(() => splitWords("a\\", " ")).toThrow("backslash");
});

test("single quotes keep any text", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: "binary" })), (words) => {
      const text = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
      expect(splitWords(text, " \n")).toEqual(words);
    }),
  );
});

test("versions are ordered by the UAPI Group's specification", () => {
  for (const [a, b] of [
    ["11", "11"],
    ["systemd-123", "systemd-123"],
    ["001", "1"],
    ["1_", "1"],
  ] as const)
    expect(compareVersions(a, b), `${a} = ${b}`).toBe(0);
  for (const [a, b] of [
    ["bar-123", "foo-123"],
    ["123", "123a"],
    ["123.a", "123.b"],
    ["123a", "123b"],
    ["123~rc1-1", "123"],
    ["122.1", "123~rc1-1"],
    ["1.9", "1.10"],
    ["1~", "1"],
    ["99999999999999999998", "99999999999999999999"],
    ["A", "a"],
  ] as const) {
    expect(compareVersions(a, b), `${a} < ${b}`).toBe(-1);
    expect(compareVersions(b, a), `${b} > ${a}`).toBe(1);
  }
});

test("versions: reflexive, antisymmetric, and every text ends", () => {
  const version = fc.stringMatching(/^[0-9a-zA-Z.~^_+-]{0,12}$/);
  fc.assert(
    fc.property(version, version, (a, b) => {
      expect(compareVersions(a, a)).toBe(0);
      expect(compareVersions(a, b) + compareVersions(b, a)).toBe(0);
      expect(versionMatches(`<=${b}`, a)).toBe(!versionMatches(`>${b}`, a));
      expect(versionMatches(b, a)).toBe(versionMatches(`==${b}`, a) && !versionMatches(`!=${b}`, a));
    }),
  );
});

test("shell patterns", () => {
  for (const [pattern, text] of [
    ["*", ""],
    ["a*c", "abbc"],
    ["a?c", "abc"],
    ["[a-c]x", "bx"],
    ["[!a-c]x", "dx"],
    ["[]]", "]"],
    ["[", "["],
    ["**a", "ba"],
    ["a/*", "a/b/c"],
    ["?", "\u{1F600}"],
  ] as const)
    expect(globMatches(pattern, text), `${pattern} ${text}`).toBe(true);
  for (const [pattern, text] of [
    ["", "a"],
    ["a", "A"],
    ["a?c", "ac"],
    ["[a-c]x", "dx"],
    ["[!a-c]x", "bx"],
    ["*a", "ab"],
  ] as const)
    expect(globMatches(pattern, text), `${pattern} ${text}`).toBe(false);
});

test("a pattern made to backtrack ends at once", () => {
  expect(globMatches(`${"*a".repeat(50)}b`, "a".repeat(5000))).toBe(false);
});

test("paths", () => {
  expect(["/a/../b/./c//", "/..", "a/..", "../x", "/"].map(normalizePath)).toEqual(["/b/c", "/", ".", "../x", "/"]);
  expect(resolvePath("/p", "../q")).toBe("/q");
  expect(resolvePath("/p", "/q")).toBe("/q");
});
