import { FormatError } from "@imgtool/core";
import { array, assert, property, uint8Array } from "fast-check";
import { expect, test } from "vitest";
import { DerReader, derTag, encodeElement, encodeInteger, encodeOid, encodeSequence, encodeSetOf } from "./der.ts";

test("elements come back as they were, whatever their length", () => {
  assert(
    property(array(uint8Array({ maxLength: 300 }), { maxLength: 5 }), (contents) => {
      const members = contents.map((content) => encodeElement(derTag.octetString, content));
      const outer = new DerReader(encodeSequence(...members));
      const reader = DerReader.into(outer.read(derTag.sequence));
      for (const content of contents) expect(reader.read(derTag.octetString).content).toEqual(content);
      reader.end();
      outer.end();
    }),
  );
});

test.for([
  [0n, "020100"],
  [127n, "02017f"],
  [128n, "02020080"],
  [65_537n, "0203010001"],
  [1n << 63n, "0209008000000000000000"],
] as const)("the integer %s", ([value, expected]) => {
  expect(Buffer.from(encodeInteger(value)).toString("hex")).toBe(expected);
});

test("object identifiers as X.690, section 8.19, has them", () => {
  expect(Buffer.from(encodeOid("2.999.3")).toString("hex")).toBe("0603883703");
  expect(Buffer.from(encodeOid("1.3.6.1.4.1.311.2.1.4")).toString("hex")).toBe("060a2b060104018237020104");
});

test("members of a set are in the order of their bytes", () => {
  const members = [encodeInteger(300), encodeInteger(5), encodeInteger(4)];
  expect(Buffer.from(encodeSetOf(members)).toString("hex")).toBe("310a0201040201050202012c");
});

test.for([
  ["nothing", ""],
  ["no length", "30"],
  ["more content than there is", "3003"],
  ["a length that is indefinite", "30800000"],
  ["a length that is not its shortest", "308101ff"],
  ["a length with leading zeros", "30820001ff"],
  ["a length of five bytes", "30850000000001ff"],
  ["a length of 4 GiB", "3084ffffffff00"],
  ["a high tag", "1f0100"],
] as const)("refuses %s", ([, hex]) => {
  expect(() => new DerReader(Buffer.from(hex, "hex")).read()).toThrow(FormatError);
});

test("hostile bytes end in a FormatError", () => {
  assert(
    property(uint8Array({ maxLength: 64 }), (bytes) => {
      const reader = new DerReader(bytes);
      try {
        while (!reader.done) reader.read();
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
      }
    }),
  );
});
