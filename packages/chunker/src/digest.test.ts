import { createHash } from "node:crypto";
import { randomBytes } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { chunkDigest, digestAlgorithms } from "./digest.ts";

test.each(digestAlgorithms)("%s is what node:crypto computes", (algorithm) => {
  for (const length of [0, 1, 63, 64, 111, 112, 127, 128, 129, 100_000]) {
    const bytes = randomBytes(length, "digest");
    expect(Buffer.from(chunkDigest(algorithm, bytes))).toEqual(createHash(algorithm).update(bytes).digest());
  }
});
