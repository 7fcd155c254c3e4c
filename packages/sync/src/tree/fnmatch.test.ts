import * as fc from "fast-check";
import { needPrograms, tryRun } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { fnmatch } from "./fnmatch.ts";

const matches = (pattern: string, name: string): boolean =>
  fnmatch(Buffer.from(pattern, "latin1"), Buffer.from(name, "latin1"));

// [pattern, name, what glibc says]
const vectors: readonly [string, string, boolean][] = [
  ["a", "a", true],
  ["a", "ab", false],
  ["", "a", false],
  ["*", "", true],
  ["*", ".a", false],
  ["?", ".", false],
  ["[.]a", ".a", false],
  ["\\.a", ".a", true],
  [".*", ".a", true],
  ["a*", "a.b", true],
  ["*.c", "x.y.c", true],
  ["**b*", "aabab", true],
  ["*a*b", "ababa", false],
  ["f?le", "f\xffle", true],
  ["[!a-c]", "d", true],
  ["[^a-c]", "b", false],
  ["[]a]", "]", true],
  ["[!]a]", "]", false],
  ["[a-]", "-", true],
  ["[b-a]", "a", false],
  ["[a-c-e]", "d", false],
  ["[\\]]", "]", true],
  ["[[:digit:]_]", "7", true],
  ["[[:none:]]", "a", false],
  ["[[.a.]]", "a", true],
  ["[a", "[a", true],
  ["[a", "a", false],
  ["a\\", "a\\", false],
  ["a/b", "a/b", true],
];

test("patterns match what glibc's match", () => {
  for (const [pattern, name, expected] of vectors)
    expect([pattern, name, matches(pattern, name)]).toEqual([pattern, name, expected]);
});

test("patterns with many stars end soon", () => {
  expect(matches("*a".repeat(40), `${"a".repeat(2000)}b`)).toBe(false);
});

test("the C library agrees", (context) => {
  needPrograms(context, "python3");
  const element = fc.constantFrom(
    "a",
    "b",
    "-",
    "^",
    "!",
    "a-c",
    "[:alpha:]",
    "[:punct:]",
    "[=a=]",
    ".",
    "\\]",
    "\xff",
  );
  const set = fc
    .tuple(fc.constantFrom("", "!", "^"), fc.constantFrom("", "]"), fc.array(element, { minLength: 1, maxLength: 4 }))
    // "=" behind a hyphen and the like is open in POSIX
    .map(([negation, first, elements]) => `[${negation}${first}${elements.join("").replaceAll("-[=", "[=")}]`);
  const piece = fc.oneof(fc.constantFrom("a", "b", "c", ".", "*", "?", "\\*", "\\a", "]", "!"), set);
  const pattern = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(""));
  const name = fc.string({ unit: fc.constantFrom("a", "b", "c", ".", "*", "]", "-", "!", "^", "\xff"), maxLength: 6 });
  const cases = fc.sample(fc.tuple(pattern, name), { numRuns: 20_000, seed: 20_201_210 });
  const script = `
import ctypes, json, sys
libc = ctypes.CDLL(None)
print(json.dumps([libc.fnmatch(p.encode("latin1"), n.encode("latin1"), 4) == 0 for p, n in json.load(sys.stdin)]))`;
  const result = tryRun("python3", ["-c", script], { input: JSON.stringify(cases) });
  const expected = JSON.parse(result.stdout.toString()) as boolean[];
  const wrong = cases.filter(([one, other], i) => matches(one, other) !== expected[i]);
  expect(wrong).toEqual([]);
  expect(expected.filter((one) => one).length).toBeGreaterThan(500);
});
