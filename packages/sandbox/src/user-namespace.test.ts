import { expect, test } from "vitest";
import { longestRange } from "./user-namespace.ts";

test("a user's subordinate ids are found by name and by number", () => {
  const text = "# comment\nanna:100000:65536\n1001:165536:1000\nbert:x:65536\nanna:300000:10\n\nanna:1\n";
  expect(longestRange(text, ["anna", "1000"])).toBe(65536);
  expect(longestRange(text, ["carl", "1001"])).toBe(1000);
  expect(longestRange(text, ["bert", "7"])).toBe(0);
  expect(longestRange("", ["anna"])).toBe(0);
});
