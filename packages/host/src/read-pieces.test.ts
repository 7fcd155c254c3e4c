import { writeFileSync } from "node:fs";
import { randomBytes, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { readPieces } from "./read-pieces.ts";

test.each([0, 1, 1024 ** 2, 1024 ** 2 + 1, 5_000_000])("a file of %d bytes comes in pieces, in order", async (size) => {
  using folder = temporaryFolder();
  const bytes = randomBytes(size, "content");
  writeFileSync(folder.join("file"), bytes);
  const copies: Buffer[] = [];
  for await (const piece of readPieces(folder.join("file"))) copies.push(Buffer.from(piece));
  expect(Buffer.concat(copies).equals(bytes)).toBe(true);
});

test("whoever has seen enough may stop; what cannot be read says so", async () => {
  using folder = temporaryFolder();
  writeFileSync(folder.join("file"), randomBytes(5_000_000, "content"));
  for await (const piece of readPieces(folder.join("file"))) {
    expect(piece.length).toBe(1024 ** 2);
    break;
  }
  await expect(readPieces(folder.join("none")).next()).rejects.toThrow(expect.objectContaining({ code: "ENOENT" }));
  await expect(readPieces(folder.path).next()).rejects.toThrow(expect.objectContaining({ code: "EISDIR" }));
});
