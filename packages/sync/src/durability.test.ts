/**
 * Runs that end at any moment: killed, or with the file system full to the last byte. Nothing under a
 * final name is partial, the store verifies, and the next run completes.
 */
import { spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { openLocalStore } from "@imgtool/store";
import { needPrograms, needRoot, randomBytes, run, temporaryFolder, type SkippableContext } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { makeFixture } from "../test/trees.ts";
import { collectGarbage } from "./collect-garbage.ts";
import { extractBlob } from "./extract-blob.ts";
import { makeBlob } from "./make-blob.ts";
import { readIndex } from "./read-index.ts";
import { digestTree } from "./tree/digest-tree.ts";
import { extractTree } from "./tree/extract-tree.ts";
import { makeTree } from "./tree/make-tree.ts";
import { verifyStore } from "./verify.ts";

const system = { tags: ["system"] };

/** Extracts and tells of each chunk that it takes from the store, before it takes it. */
const script = `
  import { openLocalStore } from "@imgtool/store";
  import { extractBlob, extractTree, readIndex } from "@imgtool/sync";
  const [what, path, root, output] = process.argv.slice(1);
  const index = await readIndex(path);
  const opened = await openLocalStore(root);
  const store = {
    location: root,
    has: (name) => opened.has(name),
    get: async (...request) => {
      const chunk = await opened.get(...request);
      process.stdout.write("chunk\\n");
      await new Promise((resolve) => setTimeout(resolve, 2));
      return chunk;
    },
    close: () => opened.close(),
  };
  if (what === "tree") await extractTree({ source: { index, stores: [store] }, target: output, durable: false });
  else await extractBlob({ index, stores: [store], output, requests: 2 });
`;

/** Runs the script and kills it when it has told of so many chunks. Returns whether it was in time. */
async function killedAfter(chunks: number, args: readonly string[]): Promise<boolean> {
  const flags = ["--conditions=@imgtool/source", "--input-type=module", "-e", script];
  const child = spawn(process.execPath, [...flags, ...args], {
    cwd: import.meta.dirname,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let told = 0;
  child.stdout.on("data", (text: Buffer) => {
    told += text.toString().split("\n").length - 1;
    if (told >= chunks) child.kill("SIGKILL");
  });
  const signal = await new Promise((resolve) => child.once("exit", (_, how) => resolve(how)));
  return signal === "SIGKILL";
}

for (const what of ["blob", "tree"] as const) {
  test(`an extraction of a ${what} that is killed again and again gets to its end`, system, async () => {
    using folder = temporaryFolder();
    const source = folder.join("source");
    const index = folder.join("index");
    const options = { source, index, store: folder.join("s"), durable: false, chunkSizes: { avg: 16_384 } };
    if (what === "tree") {
      makeFixture(source);
      // A tree is resumed file by file: of these some are whole whenever it is killed.
      for (let i = 0; i < 60; i++) writeFileSync(`${source}/a-${i}`, randomBytes(20_000, `killed-${i}`));
      await makeTree(options);
    } else {
      writeFileSync(source, randomBytes(1_300_000, "killed"));
      await makeBlob(options);
    }
    mkdirSync(folder.join("o"));
    const output = folder.join("o", "out");
    let kills = 0;
    let fetched = 0;
    // Of a tree 32 chunks are fetched ahead: only later is it certain that files were written.
    for (const chunks of what === "blob" ? [3, 11, 1, 17, 29] : [3, 11, 1, 50, 70]) {
      if (!(await killedAfter(chunks, [what, index, folder.join("s"), output]))) break;
      kills++;
      fetched += chunks;
      expect(existsSync(output)).toBe(false);
      expect(readdirSync(folder.join("o"))).toEqual([".out.partial"]);
    }
    expect(kills).toBeGreaterThan(3);
    const wanted = await readIndex(index);
    const stores = [await openLocalStore(folder.join("s"))];
    const result =
      what === "tree"
        ? await extractTree({ source: { index: wanted, stores }, target: output })
        : await extractBlob({ index: wanted, stores, output });
    expect(readdirSync(folder.join("o"))).toEqual(["out"]);
    // what was under way when it was killed is fetched again
    expect(result.fromStores).toBeLessThan(wanted.count);
    expect(fetched).toBeGreaterThan(10);
    const isEqual =
      what === "tree"
        ? (await digestTree({ directory: output })) === (await digestTree({ directory: source }))
        : readFileSync(output).equals(readFileSync(source));
    expect(isEqual).toBe(true);
  });
}

interface SmallSystem extends Disposable {
  readonly path: string;
  /** Leaves so many bytes. */
  fillBut(free: number): void;
  empty(): void;
}

function smallSystem(context: SkippableContext, path: string): SmallSystem {
  needRoot(context);
  needPrograms(context, "mount");
  mkdirSync(path);
  run("mount", ["-t", "tmpfs", "-o", "size=8m", "tmpfs", path]);
  const filler = `${path}/filler`;
  return {
    path,
    fillBut(free) {
      const descriptor = openSync(filler, "w");
      let size = 0;
      const piece = Buffer.alloc(4096, 1);
      try {
        for (;;) size += writeSync(descriptor, piece);
      } catch {
        // full
      }
      closeSync(descriptor);
      truncateSync(filler, Math.max(size - free, 0));
    },
    empty: () => truncateSync(filler, 0),
    [Symbol.dispose]: () => void run("umount", [path]),
  };
}

/** Nothing in a store is damaged; what writers have left unfinished does not count. */
async function expectWhole(store: string): Promise<void> {
  if (!existsSync(store)) return;
  const problems: string[] = [];
  await verifyStore({ store, onProblem: ({ code, message }) => void (code === "stray" || problems.push(message)) });
  expect(problems).toEqual([]);
}

const spaces = [0, 4096, 65_536, 300_000, 800_000];

test(
  "on a full file system, make and extract leave nothing partial, and complete when there is space",
  system,
  async (context) => {
    using folder = temporaryFolder();
    using small = smallSystem(context, folder.join("small"));
    const at = (name: string): string => `${small.path}/${name}`;
    const blob = folder.join("blob");
    const tree = makeFixture(folder.join("tree"));
    writeFileSync(blob, randomBytes(1_200_000, "full"));
    const kept = { store: folder.join("s"), durable: false };
    await makeBlob({ source: blob, index: folder.join("o.caibx"), ...kept });
    await makeTree({ source: tree, index: folder.join("o.caidx"), ...kept });
    const stores = [await openLocalStore(kept.store)];
    const [blobIndex, treeIndex] = [await readIndex(folder.join("o.caibx")), await readIndex(folder.join("o.caidx"))];
    const steps: readonly (readonly [output: string, run: () => Promise<unknown>])[] = [
      ["x.caibx", () => makeBlob({ source: blob, index: at("x.caibx"), store: at("s") })],
      ["x.caidx", () => makeTree({ source: tree, index: at("x.caidx"), store: at("t") })],
      ["out", () => extractBlob({ index: blobIndex, stores, output: at("out") })],
      ["tree", () => extractTree({ source: { index: treeIndex, stores }, target: at("tree") })],
    ];
    for (const [output, step] of steps) {
      for (const free of spaces) {
        small.fillBut(free);
        await expect(step(), `${output} with ${free} bytes`).rejects.toMatchObject({ code: "no-space", exitCode: 6 });
        expect(existsSync(at(output))).toBe(false);
        for (const store of ["s", "t"]) await expectWhole(at(store));
        const partial = readdirSync(small.path).filter((name) => name.startsWith("."));
        expect(partial).toEqual([]);
      }
      small.empty();
      await step();
      expect(existsSync(at(output))).toBe(true);
      // a later step starts with as little as this one did
      run("rm", ["-rf", ...["s", "t", "out", "tree"].map(at)]);
    }
  },
);

test("on a full file system, garbage goes all the same", system, async (context) => {
  using folder = temporaryFolder();
  using small = smallSystem(context, folder.join("small"));
  const at = (name: string): string => `${small.path}/${name}`;
  for (const name of ["keep", "garbage"]) {
    writeFileSync(folder.join(name), randomBytes(900_000, name));
    await makeBlob({ source: folder.join(name), index: folder.join(`${name}.caibx`), store: at("s") });
  }
  small.fillBut(0);
  const index = await readIndex(folder.join("keep.caibx"));
  const { removed } = await collectGarbage({ indexes: [index], store: await openLocalStore(at("s")), gracePeriod: 0 });
  expect(removed).toBeGreaterThan(5);
  await expectWhole(at("s"));
  await extractBlob({ index, stores: [at("s")], output: folder.join("out") });
  expect(readFileSync(folder.join("out")).equals(readFileSync(folder.join("keep")))).toBe(true);
});
