/** Incremental=: what is kept from build to build is used when nothing that it is made of has changed, and only then. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import type { ImageConfig } from "@imgtool/config";
import { silentProgress } from "@imgtool/core";
import {
  mountFileSystem,
  needPrograms,
  needRoot,
  run,
  sharedBytes,
  temporaryFolder,
  tryRun,
  type TemporaryFolder,
} from "@imgtool/testkit";
import { expect, test, type TestContext } from "vitest";
import { build, clean } from "../src/index.ts";
import { testConfig } from "./config.ts";

interface Project extends TemporaryFolder {
  config(changes?: Partial<ImageConfig>): ImageConfig;
}

/** A project whose prepare script leaves another number in every tree. */
function project(): Project {
  const folder = temporaryFolder();
  chmodSync(folder.path, 0o755);
  mkdirSync(folder.join("skeleton/etc"), { recursive: true });
  writeFileSync(folder.join("skeleton/etc/a"), "a");
  writeFileSync(folder.join("skeleton/big"), Buffer.alloc(1024 ** 2, 7));
  mkdirSync(folder.join("extra/etc"), { recursive: true });
  writeFileSync(folder.join("extra/etc/b"), "1");
  writeFileSync(folder.join("prepare"), '#!/bin/sh\ndate +%s%N > "$BUILDROOT/etc/stamp"\n', { mode: 0o755 });
  const config = (changes: Partial<ImageConfig> = {}): ImageConfig =>
    testConfig(folder.path, {
      incremental: "yes",
      skeletonTrees: [{ source: folder.join("skeleton"), target: "/" }],
      extraTrees: [{ source: folder.join("extra"), target: "/" }],
      prepareScripts: [folder.join("prepare")],
      buildSources: [{ source: folder.path, target: "/" }],
      ...changes,
    });
  return Object.assign(folder, { config });
}

function needs(context: TestContext): void {
  needRoot(context);
  needPrograms(context, "bwrap");
}

/** Builds, and returns the stamp of the tree and what was said about it. */
async function stampOf(folder: Project, changes: Partial<ImageConfig> = {}): Promise<{ stamp: string; said: string }> {
  const said: string[] = [];
  const progress = { ...silentProgress, log: (_: string, message: string) => void said.push(message) };
  await build(folder.config(changes), { force: true, progress });
  return {
    stamp: readFileSync(folder.join("out/thing/etc/stamp"), "utf8"),
    said: said.filter((line) => line.includes("cached tree")).join("\n"),
  };
}

test("a tree is used again until one of its inputs changes, which is named", async (context) => {
  needs(context);
  using folder = project();
  const first = await stampOf(folder);
  expect(first.said).toBe("no cached tree: there is none yet");
  expect(statSync(folder.join("mkosi.cache/incremental/thing~custom~~x86-64")).mode & 0o777).toBe(0o700);
  writeFileSync(folder.join("extra/etc/b"), "2");
  // What goes on top is no input of it. The sources are, for a script that may read them.
  const afterExtra = await stampOf(folder);
  expect(afterExtra.said).toContain("changed: the project's files at /");
  const again = await stampOf(folder);
  expect(again).toEqual({ stamp: afterExtra.stamp, said: "" });
  expect(readFileSync(folder.join("out/thing/etc/b"), "utf8")).toBe("2");

  writeFileSync(folder.join("skeleton/etc/a"), "b");
  const { mtime } = statSync(folder.join("skeleton"));
  utimesSync(folder.join("skeleton/etc/a"), mtime, mtime);
  const changed = await stampOf(folder);
  expect(changed.said).toContain("skeleton at /");
  expect(changed.stamp).not.toBe(again.stamp);
  expect((await stampOf(folder, { packages: [], withDocs: false })).said).toContain("WithDocs=");
  expect((await stampOf(folder, { withDocs: false })).said).toBe("");
  // What the script sees in its environment and in the configuration.
  const tests = await stampOf(folder, { withDocs: false, withTests: false });
  expect(tests.said).toContain("WithTests=");
  const named = await stampOf(folder, { withDocs: false, withTests: false, hostname: "thing" });
  expect(named.said).toContain("the configuration that scripts read");
  expect(named.stamp).not.toBe(tests.stamp);
});

test("a tree that another tools tree has made is not used again", async (context) => {
  needs(context);
  using folder = project();
  const toolsTree = folder.join("mkosi.cache/tools");
  mkdirSync(`${toolsTree}/var/lib/dpkg`, { recursive: true });
  const packages = (text: string): void => writeFileSync(`${toolsTree}/var/lib/dpkg/status`, text);
  packages("Package: apt\nVersion: 1\n");
  const first = await stampOf(folder, { toolsTree });
  utimesSync(`${toolsTree}/var/lib/dpkg/status`, 1, 1);
  expect((await stampOf(folder, { toolsTree })).stamp).toBe(first.stamp);
  packages("Package: apt\nVersion: 2\n");
  expect((await stampOf(folder, { toolsTree })).said).toBe("no cached tree: changed: the packages of the tools tree");
  // A tree that no package manager has made.
  const bare = folder.join("mkosi.cache/bare");
  mkdirSync(`${bare}/usr/bin`, { recursive: true });
  writeFileSync(`${bare}/usr/bin/apt`, "1");
  const second = await stampOf(folder, { toolsTree: bare });
  expect((await stampOf(folder, { toolsTree: bare })).stamp).toBe(second.stamp);
  writeFileSync(`${bare}/usr/bin/apt`, "22");
  expect((await stampOf(folder, { toolsTree: bare })).stamp).not.toBe(second.stamp);
  expect((await stampOf(folder)).said).toMatch(/^no cached tree: changed: .*the packages of the tools tree/);
});

test("without prepare scripts the sources do not count, and strict takes nothing else than what is kept", async (context) => {
  needs(context);
  using folder = project();
  const changes = { prepareScripts: [], incremental: "strict" } as const;
  await expect(build(folder.config(changes), { force: true })).rejects.toMatchObject({
    code: "cache-stale",
    exitCode: 4,
  });
  await build(folder.config({ ...changes, incremental: "yes" }), { force: true });
  writeFileSync(folder.join("extra/etc/b"), "2");
  await build(folder.config(changes), { force: true });
  expect(readFileSync(folder.join("out/thing/etc/b"), "utf8")).toBe("2");
  writeFileSync(folder.join("mkosi.cache/incremental/thing~custom~~x86-64/tree.json"), "not JSON");
  await expect(build(folder.config(changes), { force: true })).rejects.toMatchObject({ code: "cache-stale" });
});

test("what is kept goes with the caches, and with nothing less", async (context) => {
  needs(context);
  using folder = project();
  const config = folder.config({ packageCacheDirectory: folder.join("packages") });
  await build(config);
  for (const name of ["apt/debian", "apt/ubuntu", "own"]) mkdirSync(folder.join("packages", name), { recursive: true });
  const kept = "mkosi.cache/incremental/thing~custom~~x86-64";
  await clean(config);
  expect([existsSync(folder.join("out/thing")), existsSync(folder.join(kept))]).toEqual([false, true]);
  await clean(config, { caches: "incremental" });
  expect([existsSync(folder.join(kept)), existsSync(folder.join("packages"))]).toEqual([false, true]);
  // Only those of the distribution, whatever else is there.
  await clean(config, { caches: "all" });
  expect(existsSync(folder.join("packages/apt/debian"))).toBe(true);
  await clean({ ...config, distribution: "debian" }, { caches: "incremental" });
  expect(existsSync(folder.join("packages/apt/debian"))).toBe(true);
  await clean({ ...config, distribution: "debian" }, { caches: "all" });
  const left = ["apt/debian", "apt/ubuntu", "own"].filter((name) => existsSync(folder.join("packages", name)));
  expect(left).toEqual(["apt/ubuntu", "own"]);
});

test("a kept tree gives the bytes of a new one", async (context) => {
  needs(context);
  using folder = project();
  const changes = { prepareScripts: [], format: "tar" } as const;
  const one = await build(folder.config(changes), { force: true });
  writeFileSync(folder.join("extra/etc/b"), "2");
  const kept = await build(folder.config(changes), { force: true });
  const fresh = await build(folder.config({ ...changes, incremental: "no" }), { force: true });
  expect(kept.artifacts[0]?.sha256).toBe(fresh.artifacts[0]?.sha256);
  expect(kept.artifacts[0]?.sha256).not.toBe(one.artifacts[0]?.sha256);
});

test("with nothing changed the outputs are verified and stay; one that was touched is made again", async (context) => {
  needs(context);
  using folder = project();
  const changes = { prepareScripts: [], format: "tar" } as const;
  const output = folder.join("out/thing.tar");
  const record = await build(folder.config(changes), { force: true });
  const before = statSync(output).ino;
  expect(await build(folder.config(changes), { force: true })).toEqual(record);
  expect(statSync(output).ino).toBe(before);
  const { mtime, size } = statSync(output);
  truncateSync(output, size - 1);
  truncateSync(output, size);
  writeFileSync(output, Buffer.from(readFileSync(output)).fill(1, 0, 1));
  utimesSync(output, mtime, mtime);
  expect(await build(folder.config(changes), { force: true })).toEqual(record);
  expect(statSync(output).ino).not.toBe(before);
  writeFileSync(folder.join("extra/etc/b"), "3");
  expect((await build(folder.config(changes), { force: true })).artifacts[0]?.sha256).not.toBe(
    record.artifacts[0]?.sha256,
  );
});

function isSubvolume(path: string): boolean {
  return tryRun("btrfs", ["subvolume", "show", path]).status === 0;
}

test("on btrfs the tree is a subvolume, and what is kept of it a snapshot", { tags: ["system"] }, async (context) => {
  needs(context);
  needPrograms(context, "btrfs");
  using folder = project();
  using mounted = mountFileSystem(context, "btrfs", folder);
  const place = (name: string): string => `${mounted.path}/${name}`;
  const outputDirectory = place("out");
  const changes = { outputDirectory, cacheDirectory: place("cache"), buildSources: [] };
  const stamps: string[] = [];
  for (let round = 0; round < 3; round++) {
    await build(folder.config(changes), { force: true });
    stamps.push(readFileSync(place("out/thing/etc/stamp"), "utf8"));
    expect(isSubvolume(place("out/thing"))).toBe(true);
  }
  // One after the other is made of the kept tree, which shares its blocks.
  expect(new Set(stamps).size).toBe(1);
  const kept = run("find", [place("cache"), "-name", "tree"]).trim();
  expect(isSubvolume(kept)).toBe(true);
  expect(run("btrfs", ["subvolume", "show", kept])).toContain("Snapshot");
  expect(sharedBytes(`${kept}/big`)).toBe(1024 ** 2);
  // Nothing of the workspaces is left.
  expect(run("btrfs", ["subvolume", "list", mounted.path]).trim().split("\n")).toHaveLength(2);
  await clean(folder.config(changes), { caches: "incremental" });
  expect(run("btrfs", ["subvolume", "list", mounted.path])).toBe("");
  await build(folder.config({ ...changes, useSubvolumes: "disabled" }));
  expect(isSubvolume(place("out/thing"))).toBe(false);
  await expect(build(folder.config({ useSubvolumes: "enabled" }))).rejects.toMatchObject({
    code: "subvolume-unsupported",
  });
});
