/** What is btrfs's own: subvolumes, and the edges of its structures. `filesystems.test.ts` has the rest. */
import {
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
  openSync,
  closeSync,
} from "node:fs";
import { needPrograms, needRoot, randomBytes, run, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { makeFilesystem, scanTree, type MakeFilesystemOptions } from "../src/index.ts";
import { describeTree, epoch, makeFixture, mounted } from "./fixture.ts";

const kind = "btrfs";

const mebibyte = 1024 ** 2;

async function make(folder: TemporaryFolder, options: Partial<MakeFilesystemOptions> = {}): Promise<string> {
  const output = folder.join(`image-${Math.random().toString(36).slice(2)}`);
  const tree = await scanTree({ tree: folder.join("tree"), sourceDateEpoch: epoch });
  const uuid = "0a1b2c3d-0011-4233-8455-66778899aabb";
  await makeFilesystem("btrfs", { tree, scratch: folder.path, output, uuid, sourceDateEpoch: epoch, ...options });
  run("btrfs", ["check", "--check-data-csum", output]);
  return output;
}

test("subvolumes, nested and read-only, and one that is mounted by default", { tags: ["system"] }, async (context) => {
  needPrograms(context, "btrfs");
  needRoot(context);
  using folder = temporaryFolder();
  for (const path of ["home/user", "var/log/journal", "other"])
    mkdirSync(folder.join("tree", path), { recursive: true });
  writeFileSync(folder.join("tree/home/user/file"), "mine");
  writeFileSync(folder.join("tree/var/log/journal/entry"), randomBytes(100_000, "journal"));
  // A hard link cannot cross subvolumes: each has its own copy.
  linkSync(folder.join("tree/home/user/file"), folder.join("tree/home/user/again"));
  linkSync(folder.join("tree/home/user/file"), folder.join("tree/other/third"));
  const subvolumes = [
    { path: "/var", readOnly: false },
    { path: "/var/log/", readOnly: true },
    { path: "/home", readOnly: false },
  ];
  const image = await make(folder, { subvolumes, defaultSubvolume: "/home", size: 300 * mebibyte });
  const at = folder.join("mounted");
  const could = await mounted({ kind, image, at, options: "rw" }, () => {
    expect(readdirSync(at)).toEqual(["user"]);
    expect(statSync(`${at}/user/file`).nlink).toBe(2);
    writeFileSync(`${at}/user/new`, randomBytes(3 * mebibyte, "new"));
  });
  if (!could) {
    context.skip("needs loop devices and btrfs in the kernel");
    return;
  }
  run("btrfs", ["check", "--check-data-csum", image]);
  await mounted({ kind, image, at, options: "rw,subvolid=5" }, () => {
    const list = run("btrfs", ["subvolume", "list", at]);
    expect([...list.matchAll(/level (\d+) path (.*)/g)].map(([, top, path]) => `${top} ${path}`)).toEqual([
      "5 home",
      "5 var",
      "257 var/log",
    ]);
    expect(run("btrfs", ["property", "get", `${at}/var/log`, "ro"]).trim()).toBe("ro=true");
    expect(() => writeFileSync(`${at}/var/log/x`, "")).toThrow("read-only");
    expect(readFileSync(`${at}/var/log/journal/entry`).equals(randomBytes(100_000, "journal"))).toBe(true);
    expect(statSync(`${at}/other/third`).nlink).toBe(1);
    // Deleting a subvolume needs its back reference.
    run("btrfs", ["subvolume", "delete", `${at}/var/log`]);
  });
});

test("many links of one file, and a copy of the superblock amid the data", { tags: ["system"] }, async (context) => {
  needPrograms(context, "btrfs");
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree/links"), { recursive: true });
  writeFileSync(folder.join("tree/file"), "linked");
  // More names than an item holds.
  for (let index = 0; index < 100; index++)
    linkSync(folder.join("tree/file"), folder.join(`tree/links/${String(index).padEnd(250, "n")}`));
  writeFileSync(folder.join("tree/large"), randomBytes(80 * mebibyte, "large"));
  // Data at both ends of a gigabyte: holes take no space.
  writeFileSync(folder.join("tree/holes"), "");
  truncateSync(folder.join("tree/holes"), 1024 * mebibyte + 5);
  const open = openSync(folder.join("tree/holes"), "r+");
  writeSync(open, "end", 1024 * mebibyte + 2);
  closeSync(open);
  const image = await make(folder);
  expect(statSync(image).size).toBeLessThan(100 * mebibyte);
  const more = await make(folder, { size: 3000 * mebibyte });
  expect(statSync(more).size).toBe(3000 * mebibyte);
});

test.for([
  ["zlib", undefined, 1],
  ["zlib", 9, 1],
  ["zstd", undefined, 6],
  ["zstd", 15, 1],
] as const)("compressed by %s at level %s", { tags: ["system"] }, async ([algorithm, level, size], context) => {
  needPrograms(context, "btrfs", "setfattr");
  needRoot(context);
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree"));
  makeFixture(folder.join("tree"), { many: 100 });
  const text = Array.from({ length: 100_000 }, (_, line) => `line ${line}\n`).join("");
  for (const length of [1, 100, 2047, 2048, 2049, 3000, 4095, 4096, 4097, 8193, 131_071, 131_072, 131_073, 1_048_577])
    writeFileSync(folder.join(`tree/data/text-${length}`), text.slice(0, length));
  // What can be compressed amid what cannot, and both across the copy of the superblock at 64 MiB.
  const mixed = Array.from({ length: 10 }, (_, index) => [
    randomBytes(size * mebibyte + 5000, `mixed ${index}`),
    Buffer.from(text),
  ]);
  writeFileSync(folder.join("tree/data/mixed"), Buffer.concat(mixed.flat()));
  linkSync(folder.join("tree/data/text-8193"), folder.join("tree/usr/again"));
  const compression = { algorithm, level };
  const subvolumes = [{ path: "/usr", readOnly: false }];
  const image = await make(folder, { compression, subvolumes });
  const again = await make(folder, { compression, subvolumes });
  expect(readFileSync(again).equals(readFileSync(image))).toBe(true);
  const plain = await make(folder, { subvolumes });
  expect(statSync(image).size).toBeLessThan(statSync(plain).size - 5 * mebibyte);
  expect(readdirSync(folder.path).filter((name) => name.includes("btrfs-data"))).toEqual([]);
  const all = { nanoseconds: true, attributes: "-" };
  let [found, expected] = [["unseen"], ["unseen"]];
  const could = await mounted({ kind, image, at: folder.join("compressed") }, (at) => {
    found = describeTree(at, all);
    // As root, for the kernel's own view of the extents.
    const dump = run("btrfs", ["inspect-internal", "dump-tree", "-t", "5", image]);
    expect(dump).toContain(`extent compression ${algorithm === "zlib" ? "1 (zlib)" : "3 (zstd)"}`);
    expect(dump).toMatch(/inline extent data size \d+ ram_bytes 4096 compression [13]/);
  });
  if (!could) {
    context.skip("needs loop devices and btrfs in the kernel");
    return;
  }
  await mounted({ kind, image: plain, at: folder.join("plain") }, (at) => void (expected = describeTree(at, all)));
  expect(found).toEqual(expected);
  // It can be written to, as any other.
  const roomy = await make(folder, { compression, size: 300 * mebibyte });
  const options = `rw,compress=${algorithm}`;
  await mounted({ kind, image: roomy, at: folder.join("written"), options }, (at) => {
    truncateSync(`${at}/data/text-131073`, 70_000);
    writeFileSync(`${at}/new`, text);
  });
  run("btrfs", ["check", "--check-data-csum", roomy]);
});

test("a compression that cannot be written is refused, with what can", async () => {
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree"));
  const tree = await scanTree({ tree: folder.join("tree") });
  const common = { tree, scratch: folder.path, output: folder.join("x"), uuid: "0a1b2c3d-0011-4233-8455-66778899aabb" };
  for (const [format, algorithm, level, message] of [
    ["btrfs", "lzo", undefined, "imgtool cannot write lzo in btrfs"],
    ["btrfs", "xz", undefined, "btrfs does not know it"],
    ["btrfs", "zstd", 16, "levels from 1 to 15"],
    ["btrfs", "zlib", 0, "levels from 1 to 9"],
    ["erofs", "lzma", undefined, "imgtool cannot write lzma in erofs"],
    ["erofs", "gzip", undefined, "erofs does not know it"],
    ["erofs", "lz4", 3, "erofs has no levels of lz4"],
    ["erofs", "lz4hc", 13, "levels from 1 to 12"],
  ] as const)
    await expect(makeFilesystem(format, { ...common, compression: { algorithm, level } })).rejects.toMatchObject({
      code: "compression-unsupported",
      message: expect.stringContaining(message) as unknown,
    });
});

test("a subvolume that is not there is refused", async () => {
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree"));
  const tree = await scanTree({ tree: folder.join("tree") });
  const common = { tree, scratch: folder.path, output: folder.join("x"), uuid: "0a1b2c3d-0011-4233-8455-66778899aabb" };
  await expect(
    makeFilesystem("btrfs", { ...common, subvolumes: [{ path: "/missing", readOnly: false }] }),
  ).rejects.toMatchObject({ code: "subvolume-missing", data: { path: "/missing" } });
  await expect(makeFilesystem("btrfs", { ...common, defaultSubvolume: "/missing" })).rejects.toMatchObject({
    code: "subvolume-missing",
  });
});
