/** CacheStore=: what one machine has made, another one with the same inputs begins with. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { ImageConfig } from "@imgtool/config";
import { silentProgress } from "@imgtool/core";
import { serveDirectory } from "@imgtool/store";
import { needPrograms, needRoot, run, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { build } from "../src/index.ts";
import { testConfig } from "./config.ts";

const epoch = 1_700_000_000;

/** A project in a folder of its own, as it is checked out on a machine: with times of that day. */
function machine(folder: TemporaryFolder, name: string, changes: Partial<ImageConfig>): ImageConfig {
  const root = folder.join(name);
  const skeleton = join(root, "skeleton");
  mkdirSync(join(skeleton, "etc"), { recursive: true });
  mkdirSync(join(skeleton, "usr/bin"), { recursive: true });
  writeFileSync(join(skeleton, "etc/a"), "a\n".repeat(100_000));
  writeFileSync(join(skeleton, "usr/bin/one"), "program\n", { mode: 0o755 });
  const time = epoch + 1000 + name.length * 1000;
  for (const file of ["etc/a", "usr/bin/one"]) utimesSync(join(skeleton, file), time, time);
  writeFileSync(
    join(root, "prepare"),
    `#!/bin/sh
set -eu
cd "$BUILDROOT"
date +%s%N > etc/stamp
ln usr/bin/one usr/bin/two
chown 7:8 etc/a; chmod 4750 usr/bin/one
setfattr -n user.note -v hello etc/a
mknod -m 600 etc/null c 1 3
printf 'same' > etc/x; printf 'same' > etc/y
`,
    { mode: 0o755 },
  );
  return testConfig(root, {
    incremental: "yes",
    cacheDirectory: join(root, "cache"),
    outputDirectory: join(root, "out"),
    sourceDateEpoch: epoch,
    skeletonTrees: [{ source: skeleton, target: "/" }],
    prepareScripts: [join(root, "prepare")],
    ...changes,
  });
}

interface Built {
  readonly tree: string;
  readonly stamp: string;
  readonly said: readonly string[];
}

async function built(config: ImageConfig): Promise<Built> {
  const said: string[] = [];
  const progress = { ...silentProgress, log: (_: string, message: string) => void said.push(message) };
  await build(config, { force: true, progress });
  const tree = join(config.outputDirectory, config.output);
  return { tree, stamp: readFileSync(join(tree, "etc/stamp"), "utf8"), said };
}

/** Everything about a tree but its place. */
function contents(tree: string): string {
  const nodes = run("find", [".", "-printf", "%P %m %U:%G %y %l %n %T@ %s\n"], { cwd: tree });
  const attributes = run("getfattr", ["-R", "-h", "-d", "-m", "-", "."], { cwd: tree });
  const digest = run("casync", ["digest", tree]);
  return `${nodes.split("\n").sort().join("\n")}\n${attributes}\n${digest}`;
}

test(
  "another machine takes the tree from the store: the same bytes, hard links too",
  { tags: ["system"] },
  async (context) => {
    needRoot(context);
    needPrograms(context, "bwrap", "casync", "setfattr", "getfattr", "mknod");
    using folder = temporaryFolder();
    const cacheStore = folder.join("shared");
    const first = await built(machine(folder, "first", { cacheStore }));
    const second = await built(machine(folder, "second", { cacheStore }));
    expect(second.said).toContain("the tree is the cache store's");
    expect(second.stamp).toBe(first.stamp);
    expect(contents(second.tree)).toBe(contents(first.tree));
    expect(statSync(join(second.tree, "usr/bin/one")).nlink).toBe(2);
    expect(statSync(join(second.tree, "etc/x")).nlink).toBe(1);
    // From now on it is kept on that machine.
    rmSync(cacheStore, { recursive: true });
    expect((await built(machine(folder, "second", {}))).stamp).toBe(first.stamp);
    // Another input is another tree.
    const other = machine(folder, "third", { cacheStore, withDocs: false });
    expect((await built(other)).stamp).not.toBe(first.stamp);
  },
);

test("a store that is not there yet is made, and nothing is said of it", async (context) => {
  needRoot(context);
  needPrograms(context, "bwrap", "setfattr", "mknod");
  using folder = temporaryFolder();
  const cacheStore = folder.join("new/shared");
  const first = await built(machine(folder, "first", { cacheStore }));
  expect(first.said.filter((line) => line.includes("store"))).toEqual([]);
  expect(existsSync(cacheStore)).toBe(true);
  writeFileSync(folder.join("file"), "");
  const wrong = await built(machine(folder, "second", { cacheStore: folder.join("file") }));
  expect(wrong.said.filter((line) => line.includes("store")).length).toBeGreaterThan(0);
});

test("over HTTP; what is down, altered or foreign costs a build and is said", { tags: ["system"] }, async (context) => {
  needRoot(context);
  needPrograms(context, "bwrap", "setfattr", "mknod");
  using folder = temporaryFolder();
  mkdirSync(folder.join("www/trees"), { recursive: true });
  const server = await serveDirectory(folder.join("www"), { writable: true });
  await using _server = { [Symbol.asyncDispose]: () => server.close() };
  const cacheStore = `${server.url}/trees`.replace(/(?<!:)\/\//g, "/");
  const first = await built(machine(folder, "first", { cacheStore }));
  expect(first.said.filter((line) => line.includes("cache store"))).toEqual([]);
  const again = await built(machine(folder, "again", { cacheStore }));
  expect(again.stamp).toBe(first.stamp);
  const trees = folder.join("www/trees");
  const chunks = readdirSync(trees, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".cacnk"));
  const sizes = new Map(chunks.map((name) => [name, statSync(join(trees, name)).size]));
  cpSync(trees, folder.join("whole"), { recursive: true });
  // Each chunk in turn, the entry among them, is cut short.
  for (const [index, name] of chunks.entries()) {
    truncateSync(join(trees, name), Math.floor((sizes.get(name) ?? 0) / 2));
    const hurt = await built(machine(folder, `hurt-${index}`, { cacheStore: folder.join("www/trees") }));
    expect(hurt.stamp).not.toBe(first.stamp);
    expect(hurt.said.filter((line) => line.includes("cache store")).length).toBeGreaterThan(0);
    rmSync(trees, { recursive: true });
    cpSync(folder.join("whole"), trees, { recursive: true });
  }
  const down = await built(machine(folder, "down", { cacheStore: "http://user:secret@127.0.0.1:9/trees" }));
  expect(down.stamp).not.toBe(first.stamp);
  expect(down.said.join("\n")).toContain("the cache store http://127.0.0.1:9/trees cannot be read");
  expect(down.said.join("\n")).not.toContain("secret");
  expect(existsSync(join(down.tree, "etc/a"))).toBe(true);
});
