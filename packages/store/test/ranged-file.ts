/**
 * What openRangedFile() and copyStoredFile() must do with every driver that keeps single files: parts are of
 * one version, whatever is written meanwhile.
 * @module
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { randomBytes, temporaryFolder } from "@imgtool/testkit";
import { expect } from "vitest";
import { copyStoredFile, openRangedFile, type StoredFileOptions, writeStoredFile } from "../src/index.ts";

/** Checks a driver that can write the file, and copy it. */
export async function checkRangedFile(location: string, options: StoredFileOptions): Promise<void> {
  const last = await checkParts(location, options, (bytes) => writeStoredFile(location, bytes, options));
  await checkCopy(location, options, last);
}

/** Checks parts of a file that is written in whatever way. @returns what was written last */
export async function checkParts(
  location: string,
  options: StoredFileOptions,
  write: (bytes: Uint8Array) => Promise<unknown>,
): Promise<Uint8Array> {
  const [first, second] = [randomBytes(150_000, "first version"), randomBytes(150_001, "second version")];
  await expect(openRangedFile(location, options)).rejects.toMatchObject({ exitCode: 4 });
  await write(first);
  {
    await using file = await openRangedFile(location, options);
    expect(file?.size).toBe(first.length);
    for (const [offset, length] of [
      [0, first.length],
      [0, 1],
      [70_000, 66_000],
      [first.length - 1, 1],
      [5, 0],
    ] as const)
      expect(
        Buffer.compare((await file?.read(offset, length)) ?? Buffer.alloc(0), first.subarray(offset, offset + length)),
      ).toBe(0);
    await expect(file?.read(first.length - 1, 2)).rejects.toThrow(RangeError);
    await write(second);
    await expect(file?.read(0, 100)).rejects.toMatchObject({ code: "file-changed", exitCode: 8 });
  }
  return second;
}

/** Copies the file, whose content is known. */
export async function checkCopy(location: string, options: StoredFileOptions, content: Uint8Array): Promise<void> {
  using folder = temporaryFolder();
  expect(await copyStoredFile(location, folder.join("copy"), options)).toBe(true);
  expect(readFileSync(folder.join("copy")).equals(content)).toBe(true);
  if (process.getuid?.() !== 0) return;
  const small = folder.join("small");
  mkdirSync(small);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", small]);
  try {
    await expect(copyStoredFile(location, join(small, "copy"), options)).rejects.toMatchObject({
      code: "no-space",
      exitCode: 6,
      hint: expect.stringContaining("TMPDIR") as string,
    });
  } finally {
    execFileSync("umount", [small]);
  }
}
