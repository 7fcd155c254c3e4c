/** Every feature by its name, subvolumes, and what casync writes but cannot read. */
import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CatarEncoder, features, featureSets, parseWith } from "@imgtool/catar";
import { needPrograms, needRoot, run, temporaryFolder, tryRun, mountFileSystem } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { digestTree, extractTree, formatListLine, listTree, type TreeSource } from "../src/index.ts";
import { makeFixture } from "./trees.ts";

async function list(source: TreeSource): Promise<string> {
  let lines = "";
  for await (const listed of listTree(source)) lines += `${formatListLine(listed)}\n`;
  return lines;
}

test("every feature and set gives casync's bytes", { tags: ["system"] }, async (context) => {
  needPrograms(context, "casync");
  needRoot(context);
  using folder = temporaryFolder();
  const tree = makeFixture(folder.join("tree"));
  const names = [...Object.keys(features), ...Object.keys(featureSets)].filter((name) => !name.startsWith("fat-"));
  expect(names.length).toBeGreaterThan(35);
  const different: string[] = [];
  for (const name of names) {
    const result = tryRun("casync", ["digest", `--with=${name}`, tree]);
    // A build without SELinux has no such feature.
    if (result.status !== 0) continue;
    const digest = await digestTree({ directory: tree, flags: parseWith({ with: [name] }) });
    if (digest !== result.stdout.toString("utf8").trim()) different.push(name);
  }
  expect(different).toEqual([]);
});

test("times in microseconds, which casync writes but cannot read, are read", { tags: ["system"] }, async (context) => {
  needPrograms(context, "casync");
  using folder = temporaryFolder();
  const tree = makeFixture(folder.join("tree"));
  const archive = folder.join("x.catar");
  const digest = run("casync", ["make", "--with=unix", "--with=usec-time", "--without=sec-time", archive, tree]).trim();
  expect(tryRun("casync", ["list", archive]).status).not.toBe(0);
  expect(await list({ archive })).toBe(run("casync", ["list", "--with=unix", tree]));
  expect(await digestTree({ archive })).toBe(digest);
});

/** Owners, times and attributes of some files. */
function factsOf(path: string): string {
  const script = 'cd "$0" && stat -c "%n %u:%g %Y" etc/text program . && getfattr -d -m "^user" etc library program';
  return run("sh", ["-c", script, path]);
}

test("what is restored can be chosen, by casync's names", { tags: ["system"] }, async (context) => {
  needPrograms(context, "casync", "getfattr");
  needRoot(context);
  using folder = temporaryFolder();
  const tree = makeFixture(folder.join("tree"));
  run("setfattr", ["-n", "user.chosen", "-v", "yes", `${tree}/library`]);
  const archive = folder.join("x.catar");
  run("casync", ["make", archive, tree]);
  const chosen = [
    { with: ["unix"] },
    { with: ["best"], without: ["xattrs", "acl"] },
    { without: ["privileged"] },
    { without: ["user-names"] },
    { with: ["permissions", "nsec-time"] },
  ];
  for (const [i, request] of chosen.entries()) {
    const wanted = parseWith(request);
    const [ours, casyncs] = [folder.join(`ours-${i}`), folder.join(`casync-${i}`)];
    await extractTree({ source: { archive }, target: ours, features: wanted });
    const digest = await digestTree({ directory: ours, flags: wanted });
    expect([request, digest]).toEqual([request, await digestTree({ directory: tree, flags: wanted })]);
    const args = Object.entries(request).flatMap(([option, names]) => names.map((name) => `--${option}=${name}`));
    run("casync", ["extract", ...args, archive, casyncs]);
    expect([request, factsOf(ours)]).toEqual([request, factsOf(casyncs)]);
  }
});

test("SELinux labels end at their NUL, or without one", { tags: ["system"] }, async (context) => {
  needPrograms(context, "casync", "setfattr");
  needRoot(context);
  using folder = temporaryFolder();
  const tree = folder.join("tree");
  mkdirSync(tree);
  for (const [name, value] of Object.entries({ plain: "a:b:c", ended: "0x613a623a6300", early: "0x613a620063" })) {
    writeFileSync(join(tree, name), name);
    run("setfattr", ["-n", "security.selinux", "-v", value, join(tree, name)]);
  }
  const flags = parseWith({ with: ["selinux", "permissions"] });
  const digest = run("casync", ["digest", "--with=selinux", "--with=permissions", tree]).trim();
  expect(await digestTree({ directory: tree, flags })).toBe(digest);
});

test("user names with a dot, which casync writes but cannot read, are read", { tags: ["system"] }, async (context) => {
  needPrograms(context, "casync");
  using folder = temporaryFolder();
  const flags = parseWith({ with: ["user-names", "32bit-uids", "permissions", "nsec-time"] });
  const encoder = new CatarEncoder(flags);
  const owner = { uid: 1000, gid: 1000, mtime: 0n, user: "first.last", group: "some.group" };
  const archive = folder.join("x.catar");
  const root = encoder.entry(undefined, { metadata: { mode: 0o040_755, ...owner }, content: { kind: "directory" } });
  writeFileSync(archive, Buffer.concat([root, encoder.leave()]));
  expect(tryRun("casync", ["list", archive]).status).not.toBe(0);
  expect(await list({ archive })).toBe("drwxr-xr-x .\n");
});

test(
  "btrfs subvolumes are archived as casync does, and become subvolumes again",
  { tags: ["system"] },
  async (context) => {
    needPrograms(context, "casync", "btrfs");
    using folder = temporaryFolder();
    using mounted = mountFileSystem(context, "btrfs", folder);
    const at = (path: string): string => `${mounted.path}/${path}`;
    for (const path of ["tree", "tree/a", "tree/ro", "tree/ro/inner"]) run("btrfs", ["subvolume", "create", at(path)]);
    mkdirSync(at("tree/plain"));
    for (const path of ["tree/a/x", "tree/ro/x", "tree/ro/inner/x", "tree/plain/x"]) writeFileSync(at(path), path);
    chmodSync(at("tree/ro"), 0o750);
    run("btrfs", ["property", "set", at("tree/ro"), "ro", "true"]);
    for (const name of ["all", "best", "chattr", "subvolume", "subvolume-ro", "unix"]) {
      const flags = parseWith({ with: [name] });
      const digest = run("casync", ["digest", `--with=${name}`, at("tree")]).trim();
      expect([name, await digestTree({ directory: at("tree"), flags })]).toEqual([name, digest]);
    }
    const archive = folder.join("x.catar");
    run("casync", ["make", archive, at("tree")]);
    // The root becomes a directory, and casync says that it exists.
    tryRun("casync", ["extract", archive, at("by-casync")]);
    const digest = run("casync", ["digest", at("by-casync")]);
    const readOnly = (path: string): string => run("btrfs", ["property", "get", at(path), "ro"]).trim();
    for (let round = 0; round < 2; round++) {
      await extractTree({ source: { archive }, target: at("out") });
      expect(run("casync", ["digest", at("out")])).toBe(digest);
      expect([readOnly("out/a"), readOnly("out/ro"), readOnly("out/ro/inner")]).toEqual([
        "ro=false",
        "ro=true",
        "ro=false",
      ]);
    }
    // A read-only subvolume in the way of a file, and what an extraction that fails leaves.
    mkdirSync(folder.join("other"));
    writeFileSync(folder.join("other", "ro"), "a file");
    run("casync", ["make", folder.join("other.catar"), folder.join("other")]);
    await extractTree({ source: { archive: folder.join("other.catar") }, target: at("out") });
    expect(readFileSync(at("out/ro"), "utf8")).toBe("a file");
    const bytes = readFileSync(archive);
    writeFileSync(folder.join("short.catar"), bytes.subarray(0, -30));
    await expect(
      extractTree({ source: { archive: folder.join("short.catar") }, target: at("none") }),
    ).rejects.toMatchObject({ exitCode: 3 });
    expect(
      run("ls", ["-A", mounted.path])
        .split("\n")
        .filter((name) => name.includes("none")),
    ).toEqual([]);
    renameSync(at("out"), at("kept"));
  },
);
