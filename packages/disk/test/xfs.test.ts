// @module-tag system
/** What is particular to XFS, judged by xfs_repair, mkfs.xfs, GRUB's reader and the kernel. */
import { closeSync, ftruncateSync, openSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import {
  needPrograms,
  needRoot,
  randomBytes,
  run,
  temporaryFolder,
  tryRun,
  type TemporaryFolder,
} from "@imgtool/testkit";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { makeFilesystem, scanTree, type MakeFilesystemOptions } from "../src/index.ts";
import type { NodeKind, TreeNode } from "../src/tree/node.ts";
import { epoch, mounted } from "./fixture.ts";

const uuid = "0a1b2c3d-0011-4233-8455-66778899aabb";
const mebibyte = 1024 ** 2;

/** An inode that is nowhere but in memory. */
function makeNode(kind: NodeKind, more: Partial<TreeNode> = {}): TreeNode {
  return {
    kind,
    source: undefined,
    mode: kind === "directory" ? 0o755 : 0o640,
    uid: 0,
    gid: 0,
    seconds: epoch,
    nanoseconds: 5,
    size: 0,
    target: undefined,
    device: undefined,
    xattrs: [],
    links: 1,
    children: [],
    ...more,
  };
}

function makeDirectory(children: Readonly<Record<string, TreeNode>>, more: Partial<TreeNode> = {}): TreeNode {
  const links = Object.entries(children).map(([name, node]) => ({ name: Buffer.from(name), node }));
  return makeNode("directory", { ...more, children: links.sort((a, b) => Buffer.compare(a.name, b.name)) });
}

async function make(folder: TemporaryFolder, tree: TreeNode, options: Partial<MakeFilesystemOptions> = {}) {
  const output = folder.join("image");
  const common = { tree, scratch: folder.path, output, uuid, label: "fixture", sourceDateEpoch: epoch };
  const { size } = await makeFilesystem("xfs", { ...common, ...options });
  return { image: output, size };
}

function attributes(names: readonly string[], size: (index: number) => number): TreeNode["xattrs"] {
  return names.map((name, index) => ({ name, value: randomBytes(size(index), name) }));
}

/** What xfs_repair has to say, if it has. */
function problems(image: string): string {
  const { status, stdout, stderr } = tryRun("xfs_repair", ["-n", image]);
  return status === 0 ? "" : `${stderr}${stdout.toString()}`;
}

function namesOf(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `entry-${index}${"x".repeat((index * 7) % 40)}`).sort();
}

/** Places that mkfs.xfs fills with times, or with counters of its first steps. */
function isTimeOrCounter(place: number, groupSize: number): boolean {
  const inThreeInodes = place >= 65_536 && place < 65_536 + 3 * 512;
  const inSuperblockCopy = place >= groupSize && place % groupSize < 264;
  return inThreeInodes || inSuperblockCopy;
}

const kind = "xfs";
const cannotMount = "needs loop devices and xfs in the kernel";

test("mkfs.xfs makes the same of nothing, but for times", async (context) => {
  needPrograms(context, "mkfs.xfs");
  using folder = temporaryFolder();
  const peer = folder.join("peer");
  for (const sectorSize of [512, 4096]) {
    const { image, size } = await make(folder, makeDirectory({}), { sectorSize });
    writeFileSync(peer, "");
    truncateSync(peer, size);
    const features = "finobt=1,rmapbt=0,reflink=1,bigtime=1,inobtcount=1";
    run("mkfs.xfs", [
      "-q",
      "-s",
      `size=${sectorSize}`,
      "-m",
      `uuid=${uuid},${features}`,
      "-i",
      "nrext64=0",
      "-L",
      "fixture",
      peer,
    ]);
    const lines = tryRun("cmp", ["-l", image, peer]).stdout.toString().trim().split("\n");
    const places = lines.map((line) => Number(line.trim().split(/ +/)[0]) - 1);
    expect(places.filter((place) => !isTimeOrCounter(place, size / 4))).toEqual([]);
  }
});

test("directories of every form, which the kernel then changes", async (context) => {
  needPrograms(context, "xfs_repair");
  needRoot(context);
  using folder = temporaryFolder();
  const sizes = [1, 10, 60, 70, 300, 480, 500, 1000, 20_000];
  const tree = makeDirectory(
    Object.fromEntries(
      sizes.map((count) => [
        String(count),
        makeDirectory(Object.fromEntries(namesOf(count).map((name) => [name, makeNode("file")]))),
      ]),
    ),
  );
  const { image } = await make(folder, tree);
  expect(problems(image)).toBe("");
  const could = await mounted({ kind, image, at: folder.join("mounted"), options: "rw" }, (at) => {
    for (const count of sizes) {
      const inside = `${at}/${count}`;
      expect(readdirSync(inside).sort()).toEqual(namesOf(count));
      // By the index of hashes.
      for (const name of namesOf(count)) expect(existsSync(`${inside}/${name}`)).toBe(true);
      expect(existsSync(`${inside}/entry`)).toBe(false);
      for (const name of namesOf(count).slice(0, 50)) rmSync(`${inside}/${name}`);
      for (let index = 0; index < 120; index++) writeFileSync(`${inside}/new-${index}`, "");
    }
  });
  if (!could) {
    context.skip(cannotMount);
    return;
  }
  expect(problems(image)).toBe("");
});

test("attributes in the inode, in one leaf, in many and in blocks of their own", async (context) => {
  needPrograms(context, "xfs_repair", "getfattr");
  needRoot(context);
  using folder = temporaryFolder();
  const many = Array.from({ length: 900 }, (_, index) => `user.attribute-${index}`).sort();
  const cases: Record<string, TreeNode["xattrs"]> = {
    short: attributes(["security.selinux", "user.a", "user.empty"], (index) => [30, 100, 0][index] ?? 0),
    leaf: attributes(["trusted.a", "user.a", "user.b"], () => 300),
    local: attributes(["user.a", "user.b"], (index) => 3060 + index * 10),
    remote: attributes(["user.large", "user.largest", "user.small"], (index) => [40_400, 65_536, 3][index] ?? 0),
    many: attributes(many, (index) => (index * 13) % 180),
  };
  const entries = Object.fromEntries(Array.from({ length: 8 }, (_, index) => [`e${index}`, makeNode("file")]));
  const tree = makeDirectory({
    ...Object.fromEntries(Object.entries(cases).map(([name, xattrs]) => [name, makeNode("file", { xattrs })])),
    // Both forks want room in the inode.
    directory: makeDirectory(entries, { xattrs: attributes(["user.d"], () => 220) }),
    link: makeNode("symlink", { target: Buffer.from("t".repeat(250)), xattrs: attributes(["trusted.l"], () => 200) }),
    link2: makeNode("symlink", { target: Buffer.from("t".repeat(250)), xattrs: attributes(["trusted.l"], () => 2000) }),
    device: makeNode("character", {
      device: { major: 511, minor: 262_143 },
      xattrs: attributes(["trusted.n"], () => 255),
    }),
    fifo: makeNode("fifo", { xattrs: attributes(["trusted.f"], () => 5000) }),
    socket: makeNode("socket"),
  });
  const { image } = await make(folder, tree);
  expect(problems(image)).toBe("");
  const could = await mounted({ kind, image, at: folder.join("mounted"), options: "rw" }, (at) => {
    for (const { name, node } of tree.children) {
      const path = `${at}/${name.toString()}`;
      const shown = tryRun("getfattr", ["-hd", "-m", "-", "-e", "hex", "--absolute-names", path]).stdout.toString();
      const found = shown.split("\n").filter((line) => line.includes("="));
      const expected = node.xattrs.map((one) => `${one.name}=0x${Buffer.from(one.value).toString("hex")}`);
      expect(found.sort()).toEqual(expected.sort());
    }
    expect(run("stat", ["-c", "%Hr:%Lr", `${at}/device`]).trim()).toBe("511:262143");
    for (const name of Object.keys(cases))
      run("setfattr", ["-n", "user.added", "-v", "v".repeat(250), `${at}/${name}`]);
    for (const name of many.slice(0, 20)) run("setfattr", ["-x", name, `${at}/many`]);
  });
  if (!could) {
    context.skip(cannotMount);
    return;
  }
  expect(problems(image)).toBe("");
});

test("a file in so many pieces that its tree has two levels, and one in the inode's last extent", async (context) => {
  needPrograms(context, "xfs_repair");
  needRoot(context);
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree"));
  const pieces = (name: string, count: number): void => {
    const file = openSync(folder.join("tree", name), "w");
    for (let piece = 0; piece < count; piece++) writeSync(file, `piece ${piece}`, piece * 131_072 + 777);
    ftruncateSync(file, count * 131_072 + 5);
    closeSync(file);
  };
  pieces("inline", 21);
  pieces("one-leaf", 22);
  // With attributes in the inode its root has room for six leaves of 251.
  pieces("two-levels", 6 * 251 + 40);
  const tree = await scanTree({ tree: folder.join("tree"), sourceDateEpoch: epoch });
  const large = tree.children.find(({ name }) => name.toString() === "two-levels");
  if (large !== undefined)
    Object.assign(large.node, { xattrs: [{ name: "user.wide", value: randomBytes(220, "wide") }] });
  const { image } = await make(folder, tree);
  expect(problems(image)).toBe("");
  const could = await mounted({ kind, image, at: folder.join("mounted"), options: "rw" }, (at) => {
    for (const name of ["inline", "one-leaf", "two-levels"]) {
      run("cmp", [`${at}/${name}`, folder.join("tree", name)]);
      // Into the first hole.
      const file = openSync(`${at}/${name}`, "r+");
      writeSync(file, "filled", 70_000);
      closeSync(file);
    }
    expect(statSync(`${at}/two-levels`).blocks * 512).toBeLessThan(105 * mebibyte);
  });
  if (!could) {
    context.skip(cannotMount);
    return;
  }
  expect(problems(image)).toBe("");
});

test("one with no room to spare is filled, emptied and grown by the kernel", async (context) => {
  needPrograms(context, "xfs_repair", "xfs_growfs");
  needRoot(context);
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree"));
  writeFileSync(folder.join("tree/content"), randomBytes(260 * mebibyte, "content"));
  const tree = await scanTree({ tree: folder.join("tree"), sourceDateEpoch: epoch });
  const least = await make(folder, tree, { readOnly: true });
  expect(problems(least.image)).toBe("");
  expect(run("xfs_db", ["-r", "-c", "sb 0", "-c", "p fdblocks", least.image]).trim()).toMatch(/= (?:16|17|18|19)$/);
  await expect(make(folder, tree, { readOnly: true, size: least.size - 4096 })).rejects.toMatchObject({
    code: "filesystem-full",
    data: { needed: least.size, missing: 4096 },
  });
  const writable = await make(folder, tree);
  expect(writable.size).toBeGreaterThan(least.size);
  expect(writable.size).toBeLessThan(least.size * 1.02);
  truncateSync(writable.image, 500 * mebibyte);
  const could = await mounted({ kind, image: writable.image, at: folder.join("mounted"), options: "rw" }, (at) => {
    expect(() => {
      for (let index = 0; index < 2000; index++) writeFileSync(`${at}/more-${index}`, randomBytes(65_536, "more"));
    }).toThrow(/no space/i);
    rmSync(`${at}/content`);
    writeFileSync(`${at}/again`, randomBytes(65_536, "again"));
    run("xfs_growfs", [at]);
    expect(Number(run("stat", ["-fc", "%b", at]))).toBeGreaterThan(((500 - 65) * mebibyte) / 4096);
    writeFileSync(`${at}/grown`, randomBytes(1000, "grown"));
  });
  if (!could) {
    context.skip(cannotMount);
    return;
  }
  expect(problems(writable.image)).toBe("");
});

test("a tree on xfs gives the same image as the tree it came from, and GRUB reads it", async (context) => {
  needPrograms(context, "xfs_repair", "grub-fstest", "setfacl");
  needRoot(context);
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree/boot/grub"), { recursive: true });
  mkdirSync(folder.join("tree/many"));
  const kernel = randomBytes(3 * mebibyte, "kernel");
  writeFileSync(folder.join("tree/boot/vmlinuz"), kernel);
  for (let index = 0; index < 700; index++) writeFileSync(folder.join(`tree/many/${index}`), String(index));
  run("setfacl", ["-m", "u:1234:rwx", folder.join("tree/boot/vmlinuz")]);
  const options = { output: folder.join("first"), sectorSize: 4096 };
  await make(folder, await scanTree({ tree: folder.join("tree"), sourceDateEpoch: 1000 }), options);
  expect(run("grub-fstest", [options.output, "ls", "(loop0)/boot/"]).trim().split(/ +/)).toEqual(["grub/", "vmlinuz"]);
  run("grub-fstest", [options.output, "cmp", "(loop0)/boot/vmlinuz", folder.join("tree/boot/vmlinuz")]);
  run("grub-fstest", [options.output, "cmp", "(loop0)/many/699", folder.join("tree/many/699")]);
  const could = await mounted({ kind, image: options.output, at: folder.join("mounted") }, async (at) => {
    const again = await scanTree({ tree: at, sourceDateEpoch: 1000 });
    await make(folder, again, { ...options, output: folder.join("second") });
  });
  if (!could) {
    context.skip(cannotMount);
    return;
  }
  expect(run("cmp", [folder.join("first"), folder.join("second")])).toBe("");
});

test("any tree is a whole file system", async (context) => {
  needPrograms(context, "xfs_repair");
  using folder = temporaryFolder();
  const source = folder.join("source");
  writeFileSync(source, randomBytes(20_000, "source"));
  const attribute = fc.record({
    name: fc.tuple(fc.constantFrom("user.", "trusted.", "security."), fc.string({ minLength: 1, maxLength: 40 })),
    value: fc.uint8Array({ maxLength: 400 }),
    times: fc.constantFrom(1, 1, 1, 9, 160),
  });
  const xattrs = fc.uniqueArray(attribute, { maxLength: 4, selector: ({ name }) => name.join("") }).map((list) =>
    list.map(({ name, value, times }) => {
      return {
        name: name.join("").replaceAll("\0", "0"),
        value: new Uint8Array(Buffer.concat(Array.from({ length: times }, () => value))),
      };
    }),
  );
  const metadata = fc.record({
    xattrs,
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: fc.nat(),
    seconds: fc.integer({ min: -(2 ** 31) - 10, max: 2 ** 34 }),
    nanoseconds: fc.integer({ min: 0, max: 999_999_999 }),
  });
  const name = fc
    .uint8Array({ minLength: 1, maxLength: 255 })
    .map((bytes) => Buffer.from(bytes.map((byte) => (byte === 0 || byte === 0x2f ? 0x2d : byte))))
    .filter((bytes) => ![".", ".."].includes(bytes.toString("latin1")));
  const { directory } = fc.letrec<{ node: TreeNode; directory: TreeNode }>((tie) => ({
    node: fc.oneof(
      { depthSize: "small", maxDepth: 3 },
      fc
        .tuple(metadata, fc.nat(20_000))
        .map(([more, size]) => makeNode("file", { ...more, source: Buffer.from(source), size })),
      fc
        .tuple(metadata, fc.string({ minLength: 1, maxLength: 250 }))
        .map(([more, target]) => makeNode("symlink", { ...more, target: Buffer.from(target) })),
      metadata.map((more) => makeNode("fifo", more)),
      metadata.map((more) => makeNode("block", { ...more, device: { major: 8, minor: more.uid % 1000 } })),
      tie("directory"),
    ),
    directory: fc
      .tuple(
        metadata,
        fc.uniqueArray(fc.tuple(name, tie("node")), {
          maxLength: 40,
          selector: ([one]) => one.toString("latin1"),
        }),
      )
      .map(([more, list]) =>
        makeNode("directory", {
          ...more,
          children: list
            .map(([one, child]) => ({ name: one, node: child }))
            .sort((a, b) => Buffer.compare(a.name, b.name)),
        }),
      ),
  }));
  await fc.assert(
    fc.asyncProperty(directory, fc.constantFrom(512, 1024, 2048, 4096), async (tree, sectorSize) => {
      expect(problems((await make(folder, tree, { sectorSize })).image)).toBe("");
    }),
    { numRuns: 30 },
  );
});

test("what the format cannot hold is refused", async () => {
  using folder = temporaryFolder();
  const refuse = async (one: TreeNode, code: string): Promise<void> => {
    await expect(make(folder, makeDirectory({ one }))).rejects.toMatchObject({ code });
  };
  await refuse(makeNode("symlink", { target: Buffer.from("t".repeat(1024)) }), "xfs-limit");
  await refuse(makeNode("block", { device: { major: 1, minor: 262_144 } }), "xfs-limit");
  await refuse(makeNode("block", { device: { major: 512, minor: 1 } }), "xfs-limit");
  await refuse(makeNode("file", { xattrs: [{ name: "user.x", value: new Uint8Array(65_537) }] }), "xattr-too-large");
  await refuse(makeNode("file", { xattrs: [{ name: "other.x", value: new Uint8Array(1) }] }), "xattr-unknown");
  await expect(make(folder, makeDirectory({}), { size: 299 * mebibyte })).rejects.toMatchObject({
    code: "filesystem-full",
    data: { needed: 300 * mebibyte, missing: mebibyte },
  });
});
