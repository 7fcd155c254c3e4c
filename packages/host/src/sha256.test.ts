import { createHash } from "node:crypto";
import { randomBytes } from "@imgtool/testkit";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { hasMultiBlock, plainBatch, sha256Batch } from "./sha256.ts";

test("the Node.js that the project brings hashes several messages at a time", () => {
  expect(hasMultiBlock()).toBe(process.arch === "x64");
});

test.each([
  ["several at a time", sha256Batch],
  ["one after another", plainBatch],
])("digests of messages of one length, %s, are those of node:crypto", (_, make) => {
  // around every boundary that the padding has, and what hash trees have: a salt and a block
  const length = fc.oneof(fc.nat(300), fc.constantFrom(0, 55, 56, 63, 64, 119, 120, 32 + 512, 32 + 4096, 4096));
  fc.assert(
    fc.property(
      length,
      fc.integer({ min: 1, max: 40 }),
      fc.array(fc.nat(39)),
      fc.string(),
      (bytes, count, of, seed) => {
        const batch = make(bytes, count);
        const which = [...new Set(of.map((index) => index % count))];
        const output = new Uint8Array(count * 32 + 7).fill(0xaa).subarray(7);
        // twice: nothing of the first time is left in the second
        for (const round of [1, 2]) {
          for (const [index, message] of batch.messages.entries()) {
            expect(message.length).toBe(bytes);
            message.set(randomBytes(bytes, `${seed} ${round} ${index}`));
          }
          batch.digest(which, output);
          for (const [index, message] of batch.messages.entries()) {
            const expected = which.includes(index)
              ? createHash("sha256").update(message).digest("hex")
              : "aa".repeat(32);
            expect(Buffer.from(output.subarray(index * 32, index * 32 + 32)).toString("hex")).toBe(expected);
          }
        }
      },
    ),
    { numRuns: 60 },
  );
});
