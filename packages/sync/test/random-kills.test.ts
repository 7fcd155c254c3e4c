/**
 * Killed at random moments, many times: nothing under a final name is partial, the store verifies, and the
 * next run completes. The moments are printed with a failure.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { openLocalStore } from "@imgtool/store";
import { randomBytes, run, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { digestTree, readIndex, verifyStore } from "../src/index.ts";
import { makeFixture } from "./trees.ts";

const kills = 6;

/** One run of what is killed. */
const script = `
  import { openLocalStore } from "@imgtool/store";
  import { collectGarbage, extractBlob, extractTree, makeBlob, makeTree, readIndex } from "@imgtool/sync";
  const [what, options] = [process.argv[1], JSON.parse(process.argv[2])];
  const opened = async () => ({ index: await readIndex(options.index), stores: [await openLocalStore(options.store)] });
  process.stdout.write("begun\\n");
  if (what === "make-blob") await makeBlob(options);
  else if (what === "make-tree") await makeTree(options);
  else if (what === "extract-blob") await extractBlob({ ...(await opened()), output: options.target });
  else if (what === "extract-tree") await extractTree({ source: await opened(), target: options.target });
  else await collectGarbage({ indexes: (await opened()).index, store: (await opened()).stores[0], gracePeriod: 0 });
`.replace("indexes: (await opened()).index", "indexes: [(await opened()).index]");

type Options = Readonly<Record<string, string | boolean | object>>;

/** Runs it, and kills it so many milliseconds after it has begun; returns how long it ran, and whether it was killed. */
async function runOnce(what: string, options: Options, killAfter?: number): Promise<{ ms: number; isKilled: boolean }> {
  const flags = ["--conditions=@imgtool/source", "--wasm-wrapper-tiering-budget=2147483647", "--input-type=module"];
  const child = spawn(process.execPath, [...flags, "-e", script, what, JSON.stringify(options)], {
    cwd: import.meta.dirname,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let begun = performance.now();
  child.stdout.once("data", () => {
    begun = performance.now();
    if (killAfter !== undefined) setTimeout(() => child.kill("SIGKILL"), killAfter);
  });
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    child.once("exit", (...how) => resolve(how)),
  );
  if (killAfter === undefined && code !== 0) throw new Error(`${what} ended with ${code}`);
  return { ms: performance.now() - begun, isKilled: signal === "SIGKILL" };
}

/** Kills runs at random moments, has each judged, and sees the last one through. */
async function killAtRandom(what: string, options: Options, length: number, judge: () => Promise<void>): Promise<void> {
  let killed = 0;
  for (let i = 0; i < kills; i++) {
    const moment = Math.random() * length;
    const { isKilled } = await runOnce(what, options, moment);
    if (isKilled) killed++;
    await judge().catch((error: unknown) => {
      throw new Error(`${what}, killed after ${moment} ms`, { cause: error });
    });
  }
  expect(killed, `${what} was too fast to be killed`).toBeGreaterThan(0);
  await runOnce(what, options);
}

async function expectWhole(store: string): Promise<void> {
  if (!existsSync(store)) return;
  const problems: string[] = [];
  await verifyStore({ store, onProblem: ({ code, message }) => void (code === "stray" || problems.push(message)) });
  expect(problems).toEqual([]);
}

/** A tree, and its next version: some files changed, added and gone. */
function makeTrees(folder: TemporaryFolder): { readonly old: string; readonly next: string } {
  const old = makeFixture(folder.join("old"));
  for (let i = 0; i < 200; i++) writeFileSync(`${old}/f-${i}`, randomBytes(40_000, `f-${i}`));
  const next = makeFixture(folder.join("next"));
  for (let i = 50; i < 260; i++)
    writeFileSync(`${next}/f-${i}`, randomBytes(40_000, i % 3 === 0 ? `g-${i}` : `f-${i}`));
  return { old, next };
}

const system = { tags: ["system"] };

for (const cache of [false, true])
  test(`makes of a tree, ${cache ? "with" : "without"} a cache`, system, async () => {
    using folder = temporaryFolder();
    const { old, next } = makeTrees(folder);
    const shared = { store: folder.join("s"), ...(cache ? { cache: folder.join("cache") } : {}) };
    const index = folder.join("x.caidx");
    await runOnce("make-tree", { ...shared, source: old, index });
    const former = readFileSync(index);
    const options = { ...shared, source: next, index };
    const { ms } = await runOnce("make-tree", {
      ...options,
      store: folder.join("other"),
      index: folder.join("y.caidx"),
    });
    const whole = readFileSync(folder.join("y.caidx"));
    await killAtRandom("make-tree", options, ms, async () => {
      const found = readFileSync(index);
      expect(found.equals(former) || found.equals(whole)).toBe(true);
      await expectWhole(shared.store);
      if (!found.equals(whole)) return;
      // What is named is there: the index comes last.
      const tree = { index: await readIndex(index), stores: [await openLocalStore(shared.store)] };
      expect(await digestTree(tree)).toBe(await digestTree({ directory: next }));
    });
    expect(readFileSync(index).equals(whole)).toBe(true);
  });

test("extractions over what is there: each file is the old or the new one", system, async () => {
  using folder = temporaryFolder();
  const { old, next } = makeTrees(folder);
  const [store, index, blobIndex] = [folder.join("s"), folder.join("x.caidx"), folder.join("x.caibx")];
  await runOnce("make-tree", { source: next, index, store, durable: false });
  const target = folder.join("target");
  run("cp", ["-a", old, target]);
  run("cp", ["-a", old, folder.join("measured")]);
  const { ms } = await runOnce("extract-tree", { index, store, target: folder.join("measured") });
  await killAtRandom("extract-tree", { index, store, target }, ms, async () => {
    for (const name of readdirSync(target).filter((one) => one.startsWith("f-"))) {
      const [found, ...versions] = [target, old, next].map((tree) =>
        existsSync(`${tree}/${name}`) ? readFileSync(`${tree}/${name}`) : undefined,
      );
      expect([name, versions.some((version) => version?.equals(found ?? Buffer.alloc(0)))]).toEqual([name, true]);
    }
  });
  expect(await digestTree({ directory: target })).toBe(await digestTree({ directory: next }));

  const [blob, output] = [folder.join("blob"), folder.join("output")];
  writeFileSync(blob, randomBytes(20_000_000, "blob"));
  await runOnce("make-blob", { source: blob, index: blobIndex, store, durable: false });
  const former = Buffer.concat([readFileSync(blob).subarray(0, 9_000_000), randomBytes(9_000_000, "former")]);
  writeFileSync(output, former);
  writeFileSync(folder.join("measured-blob"), former);
  const blobRun = await runOnce("extract-blob", { index: blobIndex, store, target: folder.join("measured-blob") });
  await killAtRandom("extract-blob", { index: blobIndex, store, target: output }, blobRun.ms, async () => {
    const found = readFileSync(output);
    expect(found.equals(former) || found.equals(readFileSync(blob))).toBe(true);
  });
  expect(readFileSync(output).equals(readFileSync(blob))).toBe(true);
  expect(readdirSync(folder.path).filter((name) => name.startsWith("."))).toEqual([]);
});

test("collections of garbage: what an index names stays", system, async () => {
  using folder = temporaryFolder();
  const [store, index] = [folder.join("s"), folder.join("keep.caibx")];
  mkdirSync(folder.join("sources"));
  for (const name of ["keep", "garbage"]) {
    writeFileSync(folder.join("sources", name), randomBytes(8_000_000, name));
    await runOnce("make-blob", {
      source: folder.join("sources", name),
      index: folder.join(`${name}.caibx`),
      store,
      durable: false,
      chunkSizes: { avg: 4096 },
    });
  }
  await killAtRandom("gc", { index, store }, 60, () => expectWhole(store));
  await runOnce("extract-blob", { index, store, target: folder.join("out") });
  expect(readFileSync(folder.join("out")).equals(readFileSync(folder.join("sources", "keep")))).toBe(true);
});
