/** vfat, judged by fsck.fat and mtools: what they read is what the tree has. */
import { linkSync, mkdirSync, readFileSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { silentProgress, type LogLevel } from "@imgtool/core";
import { needPrograms, randomBytes, run, temporaryFolder, tryRun, type TemporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { defaultDefinitions, makeDisk, makeFilesystem, scanTree, type MakeFilesystemOptions } from "../src/index.ts";
import { epoch } from "./fixture.ts";

const uuid = "0a1b2c3d-0011-4233-8455-66778899aabb";
const mebibyte = 1024 ** 2;
const time = Date.UTC(2020, 1, 2, 2, 2, 2) / 1000;

/** A tree such as an EFI system partition has, and names that put aliases to the test. */
function makeTree(tree: string, options: { readonly reverse?: boolean; readonly many?: number } = {}): void {
  const files: [string, Uint8Array | string][] = [
    ["EFI/BOOT/BOOTX64.EFI", randomBytes(100_001, "efi")],
    ["EFI/Linux/image_1.2.3+3-0.efi", randomBytes(300_000, "uki")],
    ["loader/loader.conf", "timeout 3\n"],
    ["loader/entries/ünïcode 中文 name.conf", "title x\n"],
    ["loader/random-seed", ""],
    ["names/LONGFI~1.TXT", "1"],
    ["names/long file name one.txt", "2"],
    ["names/long file name two.txt", "3"],
    [`names/${"n".repeat(255)}`, "4"],
    ["names/.hidden", "5"],
  ];
  for (let index = 0; index < (options.many ?? 300); index++) files.push([`many/some file ${index}`, String(index)]);
  for (const folder of ["EFI/BOOT", "EFI/Linux", "loader/entries", "names", "many", "empty"])
    mkdirSync(`${tree}/${folder}`, { recursive: true });
  for (const [name, content] of options.reverse === true ? files.toReversed() : files)
    writeFileSync(`${tree}/${name}`, content);
  linkSync(`${tree}/loader/loader.conf`, `${tree}/loader/linked.conf`);
  run("find", [tree, "-exec", "touch", "-d", `@${time}`, "{}", "+"]);
  utimesSync(`${tree}/names/.hidden`, 0, 0);
  utimesSync(`${tree}/loader/random-seed`, epoch + 1000, epoch + 1000);
}

async function make(
  folder: TemporaryFolder,
  tree: string,
  options: Partial<MakeFilesystemOptions> = {},
): Promise<string> {
  const output = folder.join(`image-${Math.random().toString(36).slice(2)}`);
  const scanned = await scanTree({ tree, sourceDateEpoch: epoch });
  const common = { scratch: folder.path, output, uuid, label: "esp", sourceDateEpoch: epoch };
  await makeFilesystem("vfat", { tree: scanned, ...common, ...options });
  return output;
}

const cases: readonly (readonly [string, Partial<MakeFilesystemOptions>, string])[] = [
  ["as small as it can be", {}, "FAT12"],
  ["FAT32 as small as it can be", { fat32: true }, "FAT32"],
  ["5 MiB", { size: 5 * mebibyte }, "FAT12"],
  ["40 MiB", { size: 40 * mebibyte }, "FAT16"],
  ["40 MiB, FAT32", { size: 40 * mebibyte, fat32: true }, "FAT32"],
  ["600 MiB", { size: 600 * mebibyte }, "FAT32"],
  ["sectors of 4096 bytes", { size: 300 * mebibyte, sectorSize: 4096, fat32: true }, "FAT32"],
  ["sectors of 4096 bytes, small", { sectorSize: 4096 }, "FAT12"],
  ["sectors of 1024 bytes", { size: 60 * mebibyte, sectorSize: 1024 }, "FAT16"],
];

test.for(cases)("its judges find the tree in it: %s", async ([, options, type], context) => {
  needPrograms(context, "fsck.fat", "mcopy", "mdir", "blkid");
  using folder = temporaryFolder();
  const tree = folder.join("tree");
  mkdirSync(tree);
  makeTree(tree);
  const image = await make(folder, tree, options);
  const checked = run("fsck.fat", ["-n", "-v", image]);
  expect(checked).not.toMatch(/error|wrong|differ|dirty|should|warning|expected/i);
  const probed = run("blkid", ["-p", "-o", "export", image]);
  expect(probed).toContain("UUID=0A1B-2C3D");
  expect(probed).toContain("LABEL=ESP");
  expect(probed).toContain(`VERSION=${type}`);
  const env = { ...process.env, TZ: "UTC", LC_ALL: "C.UTF-8" };
  mkdirSync(folder.join("out"));
  const copied = tryRun("mcopy", ["-s", "-p", "-m", "-i", image, "::*", folder.join("out")], { env });
  expect(copied.stderr).toBe("");
  run("diff", ["-r", tree, folder.join("out")]);
  const list = tryRun("mdir", ["-i", image, "::names"], { env }).stdout.toString("utf8");
  expect(list).toContain("LONGFI~2 TXT         1 2020-02-02   2:02  long file name one.txt");
  expect(list).toContain("HIDDEN~1             1 1980-01-01   0:00  .hidden");
  const clamped = tryRun("mdir", ["-i", image, "::loader/random-seed"], { env }).stdout.toString("utf8");
  expect(clamped).toContain("2023-11-14  22:13  random-seed");
});

test("the same tree made in another order gives the same bytes", async () => {
  using folder = temporaryFolder();
  const images: Buffer[] = [];
  for (const reverse of [false, true]) {
    const tree = folder.join(`tree-${reverse}`);
    mkdirSync(tree);
    makeTree(tree, { reverse, many: 50 });
    images.push(readFileSync(await make(folder, tree)));
  }
  expect(images[0]?.equals(images[1] as Buffer)).toBe(true);
});

test("links and pipes are left out, and told of", async () => {
  using folder = temporaryFolder();
  const tree = folder.join("tree");
  mkdirSync(`${tree}/deep`, { recursive: true });
  writeFileSync(`${tree}/deep/file`, "x");
  const plain = readFileSync(await make(folder, tree));
  symlinkSync("file", `${tree}/deep/FILE`);
  symlinkSync("nowhere", `${tree}/deep/a:b`);
  run("mkfifo", [`${tree}/deep/pipe`]);
  const warnings: string[] = [];
  const progress = { ...silentProgress, log: (_: LogLevel, message: string) => void warnings.push(message) };
  // Directories have the same time as before.
  expect(readFileSync(await make(folder, tree, { progress })).equals(plain)).toBe(true);
  expect(warnings).toEqual(
    [
      ["FILE", "symbolic link"],
      ["a:b", "symbolic link"],
      ["pipe", "named pipe"],
    ].map(([name = "", what = ""]) => `/deep/${name} is left out of the FAT file system: it is a ${what}`),
  );
});

test("what FAT cannot hold is refused with its path and the reason", async () => {
  using folder = temporaryFolder();
  const refusals: readonly [(tree: string) => void, string, string][] = [
    [(tree) => writeFileSync(`${tree}/deep/a:b`, ""), "/deep/a:b", "the character"],
    [(tree) => writeFileSync(`${tree}/deep/dot.`, ""), "/deep/dot.", "ends in a dot"],
    [
      (tree) => ["Straße.TXT", "straße.txt"].forEach((name) => writeFileSync(`${tree}/deep/${name}`, "")),
      "/deep/straße.txt",
      'differs from "Straße.TXT"',
    ],
    [
      (tree) => {
        writeFileSync(`${tree}/deep/huge`, "");
        truncateSync(`${tree}/deep/huge`, 2 ** 32);
      },
      "/deep/huge",
      "4294967296 bytes",
    ],
  ];
  for (const [index, [prepare, path, reason]] of refusals.entries()) {
    const tree = folder.join(String(index));
    mkdirSync(`${tree}/deep`, { recursive: true });
    prepare(tree);
    await expect(make(folder, tree)).rejects.toMatchObject({
      code: "vfat-limit",
      message: expect.stringContaining(reason) as string,
      data: { path },
    });
  }
});

test("a tree that does not fit is refused with the number of bytes missing", async () => {
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree"));
  writeFileSync(folder.join("tree/file"), Buffer.alloc(3 * mebibyte, 1));
  const size = 2 * mebibyte;
  const smallest = readFileSync(await make(folder, folder.join("tree"))).length;
  await expect(make(folder, folder.join("tree"), { size })).rejects.toMatchObject({
    code: "filesystem-full",
    data: { size, needed: smallest, missing: smallest - size },
  });
  // Less is indeed not enough.
  await expect(make(folder, folder.join("tree"), { size: smallest - 4096 })).rejects.toMatchObject({
    data: { missing: 4096 },
  });
});

test("an ESP of a disk is FAT32 with the partition's serial and label", async (context) => {
  needPrograms(context, "fsck.fat", "sgdisk", "blkid");
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree/efi/EFI/BOOT"), { recursive: true });
  writeFileSync(folder.join("tree/efi/EFI/BOOT/BOOTX64.EFI"), "MZ");
  const disk = await makeDisk({
    output: folder.join("disk"),
    tree: folder.join("tree"),
    definitions: [
      {
        type: "esp",
        format: "vfat",
        sizeMin: 64 * mebibyte,
        sizeMax: 64 * mebibyte,
        copyFiles: [{ source: "/efi", target: "/" }],
      },
      ...defaultDefinitions({ format: "erofs" }),
    ],
    seed: "01234567-89ab-cdef-0123-456789abcdef",
    architecture: "x86-64",
    sourceDateEpoch: epoch,
  });
  const [esp] = disk.partitions;
  writeFileSync(
    folder.join("esp"),
    readFileSync(disk.path).subarray(esp?.offset ?? 0, (esp?.offset ?? 0) + (esp?.size ?? 0)),
  );
  run("fsck.fat", ["-n", folder.join("esp")]);
  const probed = run("blkid", ["-p", "-o", "export", folder.join("esp")]);
  // The serial that systemd-repart 257 gives an ESP of this seed.
  expect(probed).toContain("UUID=5739-C63F");
  expect(probed).toContain("VERSION=FAT32");
});
