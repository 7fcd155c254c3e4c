import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { run, randomBytes, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { silentProgress } from "@imgtool/core";
import { chunkPath } from "@imgtool/store";
import * as fc from "fast-check";
import { expect, test, vi } from "vitest";
import { readIndex } from "../read-index.ts";
import { makeTree } from "./make-tree.ts";

const chunkSizes = { min: 1024, avg: 4096, max: 16384 };

/** A tree of small and large files, changed long enough ago to be believed. */
function plant(folder: TemporaryFolder): string {
  const tree = folder.join("tree");
  mkdirSync(`${tree}/d`, { recursive: true });
  for (let i = 0; i < 30; i++) writeFileSync(`${tree}/d/small ${i}`, `the content of ${i}\n`.repeat(i));
  for (let i = 0; i < 4; i++) writeFileSync(`${tree}/large ${i}`, randomBytes(60_000 + i, `large ${i}`));
  return tree;
}

/** Makes the index with and without the cache; whether both have the same bytes. */
async function make(folder: TemporaryFolder, now: number): Promise<boolean> {
  const shared = { source: folder.join("tree"), store: folder.join("s"), chunkSizes, durable: false };
  await makeTree({ ...shared, index: folder.join("plain.caidx") });
  vi.useFakeTimers({ now, toFake: ["Date"] });
  try {
    await makeTree({ ...shared, index: folder.join("cached.caidx"), cache: folder.join("cache") });
  } finally {
    vi.useRealTimers();
  }
  return readFileSync(folder.join("cached.caidx")).equals(readFileSync(folder.join("plain.caidx")));
}

const later = (): number => Date.now() + 60_000;

test("whatever is changed, added, removed or renamed, the index is that of a run without a cache", async () => {
  const change = fc.record({
    kind: fc.constantFrom("append", "replace", "remove", "add", "rename", "touch", "copy"),
    file: fc.nat(),
    seed: fc.string(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(change, { maxLength: 4 }), { minLength: 2, maxLength: 3 }), async (rounds) => {
      using folder = temporaryFolder();
      const tree = plant(folder);
      for (const changes of rounds) {
        expect(await make(folder, later())).toBe(true);
        for (const { kind, file, seed } of changes) {
          const files = run("find", [tree, "-type", "f"]).trim().split("\n").sort();
          const path = files[file % files.length] ?? "";
          if (kind === "append") writeFileSync(path, seed, { flag: "a" });
          else if (kind === "replace") writeFileSync(path, randomBytes(readFileSync(path).length, seed));
          else if (kind === "remove" && files.length > 3) rmSync(path);
          else if (kind === "add") writeFileSync(`${tree}/added ${file}`, randomBytes(9000, seed));
          else if (kind === "rename") renameSync(path, `${tree}/renamed ${file}`);
          else if (kind === "touch") utimesSync(path, 1, file % 1000);
          else copyFileSync(path, `${tree}/d/copy ${file}`);
        }
      }
      expect(await make(folder, later())).toBe(true);
    }),
    { numRuns: 12 },
  );
});

test("unchanged files are not read; a file that has just changed is not believed", async () => {
  using folder = temporaryFolder();
  const tree = plant(folder);
  const planted = Date.now();
  await make(folder, later());
  // what no run reads can be anything, as long as the times say that it is what it was
  const reads = (now: number): number => {
    const script = `
      import { makeTree } from "@imgtool/sync";
      Date.now = () => ${now};
      await makeTree({ source: ${JSON.stringify(tree)}, index: ${JSON.stringify(folder.join("x.caidx"))},
        store: ${JSON.stringify(folder.join("s"))}, chunkSizes: ${JSON.stringify(chunkSizes)},
        cache: ${JSON.stringify(folder.join("cache"))}, durable: false, workers: 1 });
      const { readFileSync } = await import("node:fs");
      process.stdout.write(/^rchar: (\\d+)/.exec(readFileSync("/proc/self/io", "latin1"))[1]);`;
    const args = ["--conditions=@imgtool/source", "--input-type=module", "-e", script];
    return Number(run(process.execPath, args, { cwd: import.meta.dirname }));
  };
  const warm = reads(later());
  // every file counts as just changed
  const cold = reads(planted);
  expect(cold - warm).toBeGreaterThan(200_000);
});

test("a chunk that the store has lost is made again; a damaged cache is told and not used", async () => {
  using folder = temporaryFolder();
  plant(folder);
  await make(folder, later());
  const index = await readIndex(folder.join("cached.caidx"));
  const lost = folder.join("s", chunkPath(index.name(5)));
  rmSync(lost);
  const shared = { source: folder.join("tree"), store: folder.join("s"), chunkSizes, durable: false };
  const cached = { ...shared, index: folder.join("again.caidx"), cache: folder.join("cache") };
  expect((await makeTree(cached)).newChunks).toBe(1);
  expect(readFileSync(lost).length).toBeGreaterThan(0);
  const [file = ""] = readdirSync(folder.join("cache"));
  const content = readFileSync(folder.join("cache", file));
  content[100] = (content[100] ?? 0) ^ 1;
  writeFileSync(folder.join("cache", file), content);
  const told: string[] = [];
  const progress = { ...silentProgress, log: (_: string, message: string) => void told.push(message) };
  await makeTree({ ...cached, progress });
  expect(told).toEqual([expect.stringContaining("is damaged and not used")]);
  await expect(makeTree({ ...cached, contentDigest: true })).rejects.toThrow(
    expect.objectContaining({ code: "cache-with-digest" }),
  );
});
