// @module-tag system
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { needPrograms, run, type TemporaryFolder, temporaryFolder } from "@imgtool/testkit";
import { AbortedError } from "@imgtool/core";
import type { ChunkIndex } from "@imgtool/chunker";
import { chunkPath, compressChunk, openLocalStore } from "@imgtool/store";
import { expect, test } from "vitest";
import { makePlainFixture, plainFlags } from "../test/trees.ts";
import { planExtraction } from "./extract-plan.ts";
import { makeBlob } from "./make-blob.ts";
import { readIndex } from "./read-index.ts";
import { imageLike } from "./test-blobs.ts";
import { makeTree } from "./tree/make-tree.ts";
import { verifyArchive, verifyTree } from "./tree/verify-tree.ts";
import { verifyChunks, verifyFile, verifyStore } from "./verify.ts";
import type { Problem, Verified } from "./verify-problem.ts";

async function published(folder: TemporaryFolder, digest: "sha512-256" | "sha256" = "sha512-256"): Promise<ChunkIndex> {
  writeFileSync(folder.join("blob"), imageLike());
  const options = { source: folder.join("blob"), index: folder.join("x.caibx"), store: folder.join("s") };
  await makeBlob({ ...options, digest, durable: false });
  return readIndex(options.index);
}

const compareText = (a: string, b: string): number => (a < b ? -1 : 1);

/** Runs a verification; its problems, sorted, and its count of them. */
async function problemsOf(
  verify: (onProblem: (problem: Problem) => void) => Promise<Pick<Verified, "problems">>,
): Promise<readonly Problem[]> {
  const problems: Problem[] = [];
  const result = await verify((problem) => problems.push(problem));
  expect(result.problems).toBe(problems.length);
  return problems.sort((a, b) => (a.position ?? 0) - (b.position ?? 0) || (a.message < b.message ? -1 : 1));
}

/** Spoils four chunks of a store in different ways; returns their positions in the index. */
function spoil(store: string, index: ChunkIndex): readonly number[] {
  const at = (position: number): string => `${store}/${chunkPath(index.name(position))}`;
  // each of them the first place of its chunk
  const { firsts } = planExtraction(index);
  const [lost = 0, altered = 0, short = 0, folder = 0] = [0, 2, 3, 4].map((item) => firsts[item] ?? 0);
  rmSync(at(lost));
  rmSync(at(altered));
  writeFileSync(at(altered), compressChunk(Buffer.alloc(index.size(altered), 7)).bytes);
  chmodSync(at(short), 0o644);
  truncateSync(at(short), 20);
  rmSync(at(folder));
  mkdirSync(at(folder));
  return [lost, altered, short, folder];
}

test("every chunk of an index that is missing, altered, cut short or something else is named with its place", async () => {
  using folder = temporaryFolder();
  const index = await published(folder);
  const store = folder.join("s");
  expect(await verifyChunks({ index, stores: [store] })).toMatchObject({ problems: 0 });
  const positions = spoil(store, index);
  const expected = ["chunk-missing", "chunk-altered", "chunk-altered", "store-entry-invalid"];
  for (const first of [store, await openLocalStore(store)]) {
    const problems = await problemsOf((onProblem) => verifyChunks({ index, stores: [first], onProblem }));
    expect(problems.map(({ position }) => position)).toEqual(positions);
    expect(problems.map(({ code }) => code)).toEqual(expected);
    for (const { position = 0, chunk, offset, size } of problems) {
      expect([chunk, offset, size]).toEqual([index.name(position), index.start(position), index.size(position)]);
    }
  }
});

test("a chunk that the first store lacks may be in the next", async () => {
  using folder = temporaryFolder();
  const index = await published(folder);
  run("cp", ["-r", folder.join("s"), folder.join("extra")]);
  rmSync(folder.join("s", chunkPath(index.name(2))));
  expect(await verifyChunks({ index, stores: [folder.join("s"), folder.join("extra")] })).toMatchObject({
    problems: 0,
  });
});

function textOf({ code, message }: Problem): string {
  return `${code} ${message}`;
}

test("a whole store is checked by the names alone, whichever the digest; strays are reported", async () => {
  using folder = temporaryFolder();
  for (const digest of ["sha512-256", "sha256"] as const) {
    const index = await published(folder, digest);
    const store = folder.join("s");
    const { chunks, problems } = await verifyStore({ store });
    expect([chunks > 5, problems]).toEqual([true, 0]);
    const positions = spoil(store, index);
    writeFileSync(folder.join("s", "notes"), "");
    symlinkSync("/etc", folder.join("s", "0bad"));
    writeFileSync(
      `${dirname(folder.join("s", chunkPath(index.name(positions[3] ?? 0))))}/.tmp-0123456789abcdef-0`,
      "under way",
    );
    const found = await problemsOf((onProblem) => verifyStore({ store, onProblem }));
    // As a store elsewhere is, by its listing.
    const opened = await openLocalStore(store);
    const listed = await problemsOf((onProblem) => verifyStore({ store: opened, onProblem }));
    expect(listed.map(textOf).sort(compareText)).toEqual(found.map(textOf).sort(compareText));
    expect(found.map(({ code }) => code).sort(compareText)).toEqual([
      "chunk-altered",
      "chunk-altered",
      "stray",
      "stray",
      "stray",
    ]);
    const altered = found.filter(({ code }) => code === "chunk-altered").map(({ chunk }) => chunk);
    expect(altered.map(String).sort(compareText)).toEqual(
      positions
        .slice(1, 3)
        .map((position) => index.name(position))
        .sort(compareText),
    );
    rmSync(store, { recursive: true });
  }
});

test("a chunk that is far larger than usual is whole as well, and what inflates beyond a chunk is not", async () => {
  using folder = temporaryFolder();
  const store = await openLocalStore(folder.join("s"), { create: true, durable: false });
  const { chunkName } = await import("@imgtool/store");
  const large = new Uint8Array(20 * 1024 ** 2);
  await store.put(chunkName(large), compressChunk(large));
  expect(await verifyStore({ store: store.location })).toMatchObject({ chunks: 1, bytes: large.length, problems: 0 });
  const bomb = compressChunk(new Uint8Array(129 * 1024 ** 2));
  await store.put("ab".repeat(32), bomb);
  expect(await verifyStore({ store: store.location })).toMatchObject({ chunks: 2, problems: 1 });
});

test("a file against an index: the chunks that differ, and its length", async () => {
  using folder = temporaryFolder();
  const index = await published(folder);
  const file = folder.join("copy");
  writeFileSync(file, imageLike());
  expect(await verifyFile({ index, file })).toMatchObject({ chunks: index.count, bytes: index.totalSize, problems: 0 });
  const bytes = Buffer.from(readFileSync(file));
  for (const position of [1, 4]) bytes.writeUInt8((bytes[index.end(position) - 1] ?? 0) ^ 1, index.end(position) - 1);
  writeFileSync(file, bytes);
  const verify = (): Promise<readonly Problem[]> => problemsOf((onProblem) => verifyFile({ index, file, onProblem }));
  expect(await verify()).toMatchObject([
    { code: "content-differs", position: 1, offset: index.start(1), size: index.size(1), path: file },
    { code: "content-differs", position: 4, offset: index.start(4), size: index.size(4), path: file },
  ]);
  writeFileSync(file, imageLike());
  appendFileSync(file, "more");
  expect(await verify()).toMatchObject([{ code: "size-differs", offset: index.totalSize }]);
  truncateSync(file, 1000);
  expect(await verify()).toMatchObject([{ code: "size-differs", offset: 1000 }]);
  await expect(verifyFile({ index, file: folder.join("none") })).rejects.toMatchObject({ code: "source-missing" });
});

test("a verification can be cancelled", async () => {
  using folder = temporaryFolder();
  const index = await published(folder);
  const signal = AbortSignal.abort();
  await expect(verifyChunks({ index, stores: [folder.join("s")], signal })).rejects.toBeInstanceOf(AbortedError);
  await expect(verifyStore({ store: folder.join("s"), signal })).rejects.toBeInstanceOf(AbortedError);
  await expect(verifyFile({ index, file: folder.join("blob"), signal })).rejects.toBeInstanceOf(AbortedError);
});

test("a directory against the index of its tree: whole without a store, every difference with one", async () => {
  using folder = temporaryFolder();
  const directory = makePlainFixture(folder.join("tree"));
  await makeTree({
    source: directory,
    index: folder.join("x.caidx"),
    store: folder.join("s"),
    flags: plainFlags,
    durable: false,
  });
  const index = await readIndex(folder.join("x.caidx"));
  const stores = [await openLocalStore(folder.join("s"))];
  expect(await verifyTree({ index, directory })).toMatchObject({ problems: 0, bytes: index.totalSize });
  expect(await verifyArchive({ index, stores })).toMatchObject({ problems: 0 });
  chmodSync(`${directory}/a`, 0o600);
  utimesSync(`${directory}/b/c`, 1, 1);
  expect(await problemsOf((onProblem) => verifyTree({ index, directory, stores, onProblem }))).toMatchObject([
    { code: "entry-differs", message: expect.stringMatching(/tree\/a differs in mode$/) as string },
    { code: "entry-differs", message: expect.stringMatching(/tree\/b\/c differs in mtime$/) as string },
  ]);
  expect(await problemsOf((onProblem) => verifyTree({ index, directory, onProblem }))).toMatchObject([
    { code: "content-differs", position: 0, offset: 0 },
  ]);
});

test("an archive that is damaged under whole chunks is found", async () => {
  using folder = temporaryFolder();
  const index = await published(folder);
  const stores = [await openLocalStore(folder.join("s"))];
  const problems = await problemsOf((onProblem) => verifyArchive({ index, stores, onProblem }));
  expect(problems).toMatchObject([{ code: "archive-invalid" }]);
});

test("what casync makes is whole, and what casync extracts is what its index says", async (context) => {
  needPrograms(context, "casync");
  using folder = temporaryFolder();
  const directory = makePlainFixture(folder.join("tree"));
  const store = folder.join("s");
  run("casync", ["make", `--store=${store}`, folder.join("x.caidx"), directory]);
  run("casync", ["extract", `--store=${store}`, folder.join("x.caidx"), folder.join("out")]);
  const index = await readIndex(folder.join("x.caidx"));
  expect(await verifyChunks({ index, stores: [store] })).toMatchObject({ problems: 0 });
  expect(await verifyStore({ store })).toMatchObject({ problems: 0 });
  expect(await verifyTree({ index, directory: folder.join("out") })).toMatchObject({ problems: 0 });
});
