import { needPrograms, run, temporaryFolder } from "@imgtool/testkit";
import { openLocalStore } from "@imgtool/store";
import { expect, test } from "vitest";
import { addRichMetadata, makeFixture, makePlainFixture, plainDigest, plainFlags } from "../../test/trees.ts";
import { readIndex } from "../read-index.ts";
import { digestBlob, digestTree } from "./digest-tree.ts";
import { formatListLine, listTree } from "./list-tree.ts";
import { makeArchive, makeTree } from "./make-tree.ts";
import type { TreeSource } from "./tree-source.ts";

async function lines(source: TreeSource): Promise<string[]> {
  const result: string[] = [];
  for await (const listed of listTree(source)) result.push(formatListLine(listed));
  return result;
}

test("directory, archive and index list the same", async () => {
  using folder = temporaryFolder();
  const source = makePlainFixture(folder.join("tree"));
  await makeArchive({ source, output: folder.join("x.catar"), flags: plainFlags });
  await makeTree({ source, index: folder.join("x.caidx"), store: folder.join("s"), flags: plainFlags });
  const index = await readIndex(folder.join("x.caidx"));
  const stores = [await openLocalStore(folder.join("s"))];
  const expected = [
    "drwxr-xr-x .",
    "-rw-r--r-- a",
    "drwx--x--t b",
    "-rwsr-x--- b/c",
    "lrwxrwxrwx b/link",
    "prw-r----- fifo",
    String.raw`-rw-r--r-- \377\376\040\012\134\043`,
  ];
  expect(await lines({ directory: source, flags: plainFlags })).toEqual(expected);
  expect(await lines({ archive: folder.join("x.catar") })).toEqual(expected);
  expect(await lines({ index, stores })).toEqual(expected);
  expect(await digestTree({ archive: folder.join("x.catar") })).toBe(plainDigest);
  expect(await digestTree({ index, stores })).toBe(plainDigest);
});

test("list and digest are what casync prints", async (context) => {
  needPrograms(context, "casync");
  using folder = temporaryFolder();
  const source = makeFixture(folder.join("tree"));
  if (process.geteuid?.() === 0) addRichMetadata(source);
  const archive = folder.join("x.catar");
  run("casync", ["make", archive, source]);
  expect(`${(await lines({ archive })).join("\n")}\n`).toBe(run("casync", ["list", archive]));
  expect(await digestTree({ archive })).toBe(run("casync", ["digest", archive]).trim());
  expect(await digestTree({ directory: source })).toBe(run("casync", ["digest", source]).trim());

  const digest = run("casync", ["--digest=sha256", "make", folder.join("y.catar"), source]).trim();
  expect(await digestTree({ archive: folder.join("y.catar") })).toBe(digest);

  const store = `--store=${folder.join("s")}`;
  run("casync", ["make", folder.join("x.caibx"), archive, store]);
  const index = await readIndex(folder.join("x.caibx"));
  const stores = [await openLocalStore(folder.join("s"))];
  expect(await digestBlob({ index, stores })).toBe(run("casync", ["digest", folder.join("x.caibx"), store]).trim());
  expect(await digestBlob({ file: folder.join("tree", "program") })).toBe(
    run("casync", ["digest", folder.join("tree", "program")]).trim(),
  );
  expect(await digestBlob({ file: archive, digest: "sha256" })).toBe(
    run("casync", ["--digest=sha256", "digest", "--what=blob", archive]).trim(),
  );
});

test("a stream serves as archive, however it is cut; a cut off one does not", async () => {
  using folder = temporaryFolder();
  const source = makePlainFixture(folder.join("tree"));
  const parts: Uint8Array[] = [];
  const { archiveBytes } = await import("./tree-source.ts");
  for await (const bytes of archiveBytes({ directory: source, flags: plainFlags })) parts.push(bytes);
  const whole = Buffer.concat(parts);
  const pieces = async function* (end: number): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < end; at += 7) yield whole.subarray(at, Math.min(end, at + 7));
  };
  expect(await digestTree({ archive: pieces(whole.length) })).toBe(plainDigest);
  for (const end of [0, 10, whole.length - 1]) {
    await expect(digestTree({ archive: pieces(end) })).rejects.toThrow(
      expect.objectContaining({ code: "catar-truncated" }),
    );
  }
});
