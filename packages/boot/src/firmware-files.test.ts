import { assert, property, string } from "fast-check";
import { ImgtoolError } from "@imgtool/core";
import { expect, test } from "vitest";
import { chooseFirmware } from "./firmware-files.ts";

const files = ["cxgb4/bcm8483.bin.xz", "bcm8483.txt", "other/cxgb4/t6fw.bin", "t6fw.bin.d/x", "a+b.bin"];

const chosen = (...patterns: string[]): string => chooseFirmware(files, patterns).join(" ");

test("patterns choose firmware by name, by the end of the path, by all of it, and below folders", () => {
  expect(chosen()).toBe("");
  expect(chosen("bcm8483.*")).toBe("cxgb4/bcm8483.bin.xz bcm8483.txt");
  expect(chosen("cxgb4/bcm8483.bin")).toBe("cxgb4/bcm8483.bin.xz");
  expect(chosen("8483.bin")).toBe("");
  expect(chosen("cxgb4/*")).toBe("cxgb4/bcm8483.bin.xz other/cxgb4/t6fw.bin");
  expect(chosen("/cxgb4/*")).toBe("cxgb4/bcm8483.bin.xz");
  expect(chosen("cxgb4/", "-t6fw.bin")).toBe("cxgb4/bcm8483.bin.xz");
  expect(chosen("-t6fw.bin", "t6fw.bi[m-o]")).toBe("other/cxgb4/t6fw.bin");
  expect(chosen("/*")).toBe("bcm8483.txt a+b.bin");
  expect(chosen("a+b.bin", "bcm8483.tx[!a-s]")).toBe("bcm8483.txt a+b.bin");
  for (const pattern of ["", "-", "/", "a//b", "[z-a]"])
    expect(() => chosen(pattern)).toThrow(expect.objectContaining({ code: "firmware-pattern-invalid" }) as Error);
});

test("any text is a pattern or an error that says so", () => {
  assert(
    property(string({ unit: "grapheme" }), (pattern) => {
      try {
        chooseFirmware(files, [pattern]);
      } catch (error) {
        if (!(error instanceof ImgtoolError)) throw error;
      }
    }),
    { numRuns: 500 },
  );
});
