/** Disk images and file systems as trees: what another build made of a tree is that tree again. */
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { ImageConfig } from "@imgtool/config";
import { needPrograms, needRoot, run, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { expect, test, type TestContext } from "vitest";
import { digestPath } from "../src/incremental/digests.ts";
import { build } from "../src/index.ts";
import { testConfig } from "./config.ts";

/** A tree with all that a file system keeps of files. */
function writeTree(folder: TemporaryFolder): string {
  const tree = folder.join("base");
  for (const name of ["usr/lib", "usr/bin", "etc", "home/anna", "dev", "lost+found", "boot"])
    mkdirSync(join(tree, name), { recursive: true });
  writeFileSync(join(tree, "usr/lib/os-release"), "ID=custom\n");
  writeFileSync(join(tree, "usr/bin/program"), Buffer.alloc(70_000, "program"));
  run("setfattr", ["-n", "user.note", "-v", "mine", join(tree, "usr/bin/program")]);
  run("setcap", ["cap_net_raw+ep", join(tree, "usr/bin/program")]);
  writeFileSync(join(tree, "usr/bin/su"), "su");
  chmodSync(join(tree, "usr/bin/su"), 0o4755);
  linkSync(join(tree, "usr/bin/su"), join(tree, "usr/bin/again"));
  symlinkSync("usr/bin", join(tree, "bin"));
  writeFileSync(join(tree, "home/anna/note"), "hers");
  for (const name of ["home/anna", "home/anna/note"]) chownSync(join(tree, name), 1000, 70_000);
  run("mknod", [join(tree, "dev/null"), "c", "1", "3"]);
  run("mkfifo", [join(tree, "etc/pipe")]);
  for (const name of ["usr/bin/program", "usr/bin/su", "home/anna/note", "usr/lib/os-release"])
    utimesSync(join(tree, name), 1_500_000_000, 1_500_000_000);
  rmSync(join(tree, "lost+found"), { recursive: true });
  return tree;
}

function needs(context: TestContext): void {
  needRoot(context);
  needPrograms(context, "setfattr", "setcap", "mount", "tar", "bwrap");
  try {
    run("losetup", ["--find"]);
  } catch {
    context.skip("needs loop devices");
  }
}

async function digestOf(folder: TemporaryFolder, name: string, changes: Partial<ImageConfig>): Promise<string> {
  await build(testConfig(folder.path, { output: name, ...changes }));
  return await digestPath(folder.join(`out/${name}`), undefined);
}

/** Names, modes, owners and links in a tree. */
function list(root: string): string {
  const lines = run("find", [".", "-mindepth", "1", "-printf", "%p %M %U:%G %l\n"], { cwd: root }).split("\n");
  return lines.sort().join("\n");
}

test.for(["ext4", "squashfs", "erofs", "btrfs", "xfs"] as const)(
  "a disk of another build and its bare %s are base trees as the folder is",
  { tags: ["system"] },
  async (rootFilesystem, context) => {
    needs(context);
    needPrograms(context, rootFilesystem === "squashfs" ? "mksquashfs" : `mkfs.${rootFilesystem}`);
    using folder = temporaryFolder();
    const tree = writeTree(folder);
    mkdirSync(folder.join("repart"));
    writeFileSync(
      folder.join("repart/root.conf"),
      `[Partition]\nType=root\nFormat=${rootFilesystem}\nCopyFiles=/\nMinimize=guess\n`,
    );
    const disk = { baseTrees: [tree], format: "disk", repartDirectories: [folder.join("repart")] } as const;
    const { artifacts } = await build(testConfig(folder.path, { output: "disk", ...disk }));
    const [partition] = artifacts[0]?.partitions ?? [];
    const image = readFileSync(folder.join("out/disk.raw"));
    const { offset = 0, size = 0 } = partition ?? {};
    writeFileSync(folder.join("bare"), image.subarray(offset, offset + size));

    const expected = await digestOf(folder, "a", { baseTrees: [tree] });
    expect(await digestOf(folder, "b", { baseTrees: [folder.join("out/disk.raw")] })).toBe(expected);
    expect(await digestOf(folder, "c", { baseTrees: [folder.join("bare")] })).toBe(expected);
    // As an extra tree it goes where it is told to; without .raw it is a file there.
    const extraTrees = [
      { source: folder.join("out/disk.raw"), target: "/srv/inner" },
      { source: folder.join("bare"), target: "/srv/file" },
    ];
    await digestOf(folder, "d", { extraTrees });
    expect(lstatSync(folder.join("out/d/srv/inner/home/anna/note"))).toMatchObject({ uid: 1000, gid: 70_000 });
    expect(lstatSync(folder.join("out/d/srv/file")).size).toBe(size);
  },
);

test("hard links of an image are hard links", { tags: ["system"] }, async (context) => {
  needs(context);
  needPrograms(context, "mksquashfs");
  using folder = temporaryFolder();
  run("mksquashfs", [writeTree(folder), folder.join("tree.raw"), "-quiet", "-no-progress"]);
  await digestOf(folder, "a", { baseTrees: [folder.join("tree.raw")] });
  const { ino, nlink } = lstatSync(folder.join("out/a/usr/bin/su"));
  expect([nlink, lstatSync(folder.join("out/a/usr/bin/again")).ino]).toEqual([2, ino]);
});

test("further partitions of a disk are in their places", { tags: ["system"] }, async (context) => {
  needs(context);
  needPrograms(context, "mkfs.ext4", "mkfs.erofs");
  using folder = temporaryFolder();
  const tree = writeTree(folder);
  const hasVfat = readFileSync("/proc/filesystems", "utf8").includes("vfat");
  if (hasVfat) writeFileSync(join(tree, "boot/loader"), "vfat");
  const esp = ["10-esp", "Type=esp\nFormat=vfat\nCopyFiles=/boot:/\nSizeMinBytes=40M"] as const;
  for (const [name, text] of [
    ...(hasVfat ? [esp] : []),
    [
      "20-root",
      "Type=root\nFormat=ext4\nCopyFiles=/\nExcludeFiles=/boot/ /usr/ /home/\nMakeDirectories=/boot /usr /home",
    ],
    ["30-usr", "Type=usr\nFormat=erofs\nCopyFiles=/usr:/"],
    ["40-home", "Type=home\nFormat=ext4\nCopyFiles=/home:/"],
  ] as const) {
    mkdirSync(folder.join("repart"), { recursive: true });
    writeFileSync(folder.join(`repart/${name}.conf`), `[Partition]\n${text}\n`);
  }
  const repartDirectories = [folder.join("repart")];
  await build(testConfig(folder.path, { output: "disk", baseTrees: [tree], format: "disk", repartDirectories }));
  await build(testConfig(folder.path, { output: "b", baseTrees: [folder.join("out/disk.raw")] }));
  await build(testConfig(folder.path, { output: "a", baseTrees: [tree] }));
  expect(list(folder.join("out/b"))).toBe(list(folder.join("out/a")));
});

test("a file that is no image is no base tree", async (context) => {
  needRoot(context);
  using folder = temporaryFolder();
  writeFileSync(folder.join("text"), "text");
  await expect(build(testConfig(folder.path, { baseTrees: [folder.join("text")] }))).rejects.toMatchObject({
    code: "tree-unreadable",
  });
  writeFileSync(folder.join("empty.raw"), Buffer.alloc(1024 ** 2));
  const extraTrees = [{ source: folder.join("empty.raw"), target: "/" }];
  await expect(build(testConfig(folder.path, { extraTrees }))).rejects.toMatchObject({ code: "tree-unreadable" });
});
