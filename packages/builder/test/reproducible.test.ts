/** Every format that there is, built twice: in two folders, with two umasks, time zones and languages. */
import { execFileSync } from "node:child_process";
import { chmodSync, linkSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { findSetting, type ImageConfig, type OutputFormat, type RootFilesystem } from "@imgtool/config";
import {
  makeStub,
  needPrograms,
  needRoot,
  temporaryFolder,
  testCertificate,
  testKernel,
  testKey,
  type TemporaryFolder,
} from "@imgtool/testkit";
import { expect, test } from "vitest";
import { build, type BuildRecord } from "../src/index.ts";
import { testConfig } from "./config.ts";
import { firstDifference } from "./first-difference.ts";

const version = "6.1.0-test";
const boot = "usr/lib/systemd/boot/efi";

/** A tree with every kind of node, with what makes other tools' images differ, and with all it takes to boot. */
function makeTree(tree: string): void {
  const files: Readonly<Record<string, string | Uint8Array>> = {
    "usr/lib/os-release": "ID=debian\nVERSION_ID=12\n",
    "usr/lib/systemd/systemd": "#!/bin/sh\n",
    "usr/lib/systemd/system/thing.service": "[Service]\nExecStart=/usr/bin/thing\n",
    "etc/passwd": "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n",
    "etc/passwd-": "of an earlier time\n",
    "etc/shadow": "root:*:19000::::::\n",
    "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "etc/resolv.conf": "",
    "var/log/install.log": `${Date.now()} ${Math.random()}\n`,
    "var/cache/ldconfig/aux-cache": String(Math.random()),
    "var/lib/systemd/random-seed": String(Math.random()),
    "home/user/ümläut and space": "text",
    [`usr/lib/modules/${version}/modules.builtin`]: "",
    [`usr/lib/modules/${version}/modules.order`]: "",
    [`boot/vmlinuz-${version}`]: testKernel,
    [`${boot}/linuxx64.efi.stub`]: makeStub(),
    [`${boot}/systemd-bootx64.efi`]: makeStub(),
    [`${boot}/addonx64.efi.stub`]: makeStub(),
  };
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(`${tree}/${name}`), { recursive: true, mode: 0o755 });
    writeFileSync(`${tree}/${name}`, content);
    chmodSync(`${tree}/${name}`, 0o644);
  }
  for (let i = 0; i < 300; i++) writeFileSync(`${tree}/usr/lib/file-${i}`, `${i}\n`.repeat(i));
  for (const name of ["opt", "proc", "sys", "dev", "run", "tmp", "srv"]) mkdirSync(`${tree}/${name}`);
  symlinkSync("usr/bin", `${tree}/bin`);
  mkdirSync(`${tree}/usr/bin`);
  writeFileSync(`${tree}/usr/bin/thing`, "#!/bin/sh\n", { mode: 0o755 });
  linkSync(`${tree}/usr/bin/thing`, `${tree}/usr/bin/same`);
  execFileSync("mkfifo", [`${tree}/home/user/fifo`]);
  execFileSync("mknod", [`${tree}/dev/null`, "c", "1", "3"]);
  // Before the moment that no time of the image exceeds; a later one is clamped.
  utimesSync(`${tree}/etc/passwd`, 1_600_000_000, 1_600_000_000);
}

/** What Format= means for a build, as the configuration resolves it. */
function settingsOf(format: string): Partial<ImageConfig> {
  const [, filesystem] = /^(?:raw|gpt)_(\w+)$/.exec(format) ?? [];
  if (filesystem !== undefined)
    return { format: "disk", rootFilesystem: (filesystem === "gpt" ? "ext4" : filesystem) as RootFilesystem };
  if (["qcow2", "vmdk", "vhdx"].includes(format))
    return { format: "disk", diskFile: format as ImageConfig["diskFile"] };
  // A folder, on a file system that has subvolumes.
  if (format === "subvolume") return { format: "directory" };
  const verity = ["sysext", "confext", "portable"].includes(format) ? { verity: "signed" as const } : {};
  return { format: format as OutputFormat, ...verity };
}

/** All that can be asked for, but one name of each; a new format or file system is in it by itself. */
const formats = (findSetting("Format")?.kind.choices ?? []).filter((format, index, all) => {
  const settings = JSON.stringify(settingsOf(format));
  return format !== "none" && all.findIndex((other) => JSON.stringify(settingsOf(other)) === settings) === index;
});

async function buildIn(folder: TemporaryFolder, changes: Partial<ImageConfig>): Promise<BuildRecord> {
  for (const [name, text] of [
    ["key", testKey],
    ["crt", testCertificate],
  ] as const)
    writeFileSync(folder.join(name), text);
  writeFileSync(folder.join("initrd"), "the initrd");
  const keys = { key: folder.join("key"), certificate: folder.join("crt") };
  return await build(
    testConfig(folder.path, {
      skeletonTrees: [{ source: folder.join("tree"), target: "/" }],
      initrds: [folder.join("initrd")],
      manifestFormat: ["json", "spdx", "cyclonedx"],
      rootPassword: "secret",
      verityKey: keys.key,
      verityCertificate: keys.certificate,
      secureBoot: true,
      secureBootKey: keys.key,
      secureBootCertificate: keys.certificate,
      signExpectedPcr: keys,
      partitionSizes: { esp: 64 * 1024 ** 2 } as ImageConfig["partitionSizes"],
      ...changes,
    }),
  );
}

/** Builds the same in two folders, whose surroundings differ in all that must not matter; says what differs. */
async function differenceOf(
  settings: (folder: TemporaryFolder) => Partial<ImageConfig>,
  made: (tree: string) => void,
): Promise<string | undefined> {
  using first = temporaryFolder();
  using second = temporaryFolder();
  made(first.join("tree"));
  const record = await buildIn(first, settings(first));
  const before = { umask: process.umask(0o077), TZ: process.env["TZ"], LANG: process.env["LANG"] };
  try {
    Object.assign(process.env, { TZ: "Pacific/Kiritimati", LANG: "de_DE.UTF-8" });
    // Folders are read in another order, and files have other inodes, in a copy.
    execFileSync("cp", ["--archive", first.join("tree"), second.join("tree")]);
    await buildIn(second, settings(second));
  } finally {
    process.umask(before.umask);
    for (const name of ["TZ", "LANG"] as const) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  }
  return firstDifference(first.join("out"), second.join("out"), record);
}

test.for(formats)("Format=%s has the same bytes twice", { tags: ["system"] }, async (format, context) => {
  needRoot(context);
  needPrograms(context, "mksquashfs", "qemu-img", "depmod");
  const settings = settingsOf(format);
  const bootable = settings.format === "disk" ? { bootable: "enabled" as const } : {};
  expect(await differenceOf(() => ({ ...settings, ...bootable }), makeTree)).toBeUndefined();
});

/** A few files, of which some can be compressed. */
function makeSmallTree(tree: string): void {
  for (const path of ["usr/lib", "etc", "home/user"]) mkdirSync(`${tree}/${path}`, { recursive: true });
  writeFileSync(`${tree}/usr/lib/os-release`, "ID=debian\nVERSION_ID=12\n");
  for (let i = 0; i < 40; i++) writeFileSync(`${tree}/usr/lib/file-${i}`, `${i}\n`.repeat(i * i * i));
  writeFileSync(`${tree}/home/user/text`, "text\n");
}

const compressions = ["gzip", "xz", "zstd", "bz2", "lz4", "lzma"] as const;

test.for(compressions)("CompressOutput=%s has the same bytes twice", { tags: ["system"] }, async (name, context) => {
  needRoot(context);
  needPrograms(context, "xz", "bzip2", "lz4");
  for (const format of ["tar", "cpio", "disk"] as const) {
    const settings = { format, rootFilesystem: "erofs" as const, compressOutput: name };
    expect(await differenceOf(() => settings, makeSmallTree), format).toBeUndefined();
  }
});

/** Partitions, one of a kind in each definition. */
const partitions: Readonly<Record<string, string>> = {
  "btrfs, zstd": "Type=root\nFormat=btrfs\nCompression=zstd\nCompressionLevel=15\nSubvolumes=/home /usr:ro",
  "btrfs, zlib": "Type=root\nFormat=btrfs\nCompression=zlib",
  "erofs, lz4": "Type=root\nFormat=erofs\nCompression=lz4",
  "erofs, zstd": "Type=root\nFormat=erofs\nCompression=zstd\nCompressionLevel=9",
  "squashfs, xz": "Type=root\nFormat=squashfs\nCompression=xz",
  "squashfs, gzip": "Type=root\nFormat=squashfs\nCompression=gzip\nCompressionLevel=3",
  vfat: "Type=xbootldr\nFormat=vfat",
};

test.for(Object.keys(partitions))(
  "a partition of %s has the same bytes twice, within its disk and beside it",
  { tags: ["system"] },
  async (name, context) => {
    needRoot(context);
    needPrograms(context, "mksquashfs");
    const settings = (folder: TemporaryFolder): Partial<ImageConfig> => {
      mkdirSync(folder.join("repart"));
      const lines = `${partitions[name] ?? ""}\nCopyFiles=/\nMinimize=best\n`;
      writeFileSync(folder.join("repart/10-one.conf"), `[Partition]\n${lines}`);
      writeFileSync(
        folder.join("repart/20-swap.conf"),
        "[Partition]\nType=swap\nFormat=swap\nSizeMinBytes=4M\nSizeMaxBytes=4M\n",
      );
      return {
        format: "disk",
        repartDirectories: [folder.join("repart")],
        splitArtifacts: ["partitions", "os-release", "tar"],
      };
    };
    expect(await differenceOf(settings, makeSmallTree)).toBeUndefined();
  },
);

test("a difference is named: the file, and of a disk the partition", { tags: ["system"] }, async (context) => {
  needRoot(context);
  using first = temporaryFolder();
  using second = temporaryFolder();
  for (const folder of [first, second]) makeTree(folder.join("tree"));
  writeFileSync(second.join("tree/usr/bin/thing"), "#!/bin/bs\n");
  for (const format of ["directory", "disk"] as const) {
    const changes = { format, rootFilesystem: "erofs" as const };
    const record = await buildIn(first, changes);
    await buildIn(second, changes);
    const found = firstDifference(first.join("out"), second.join("out"), record);
    expect(found).toMatch(
      format === "disk" ? /^thing\.raw: byte \d+, partition root-x86-64, offset/ : /^thing\/usr\/bin\/same: byte 7/,
    );
    for (const folder of [first, second]) execFileSync("rm", ["-r", folder.join("out")]);
  }
});
