/** Disks with encrypted partitions: laid out as systemd-repart does, opened by cryptsetup. */
import { closeSync, mkdirSync, openSync, readFileSync, readSync, truncateSync, writeFileSync } from "node:fs";
import { needPrograms, run, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { makeDisk, type DiskPartition, type DiskResult, type PartitionDefinition } from "../src/index.ts";
import { luksDataOffset } from "../src/luks/index.ts";
import { decryptLuks } from "./decrypt-luks.ts";

const passphrase = "correct horse battery";
const size = 50 * 1024 ** 2;
const home: PartitionDefinition = {
  type: "home",
  format: "ext4",
  encrypt: "key-file",
  copyFiles: [{ source: "/home", target: "/" }],
};

function prepare(folder: TemporaryFolder): void {
  mkdirSync(folder.join("tree/home/user"), { recursive: true });
  writeFileSync(folder.join("tree/home/user/file"), "mine\n");
  writeFileSync(folder.join("passphrase"), passphrase, { mode: 0o600 });
}

async function make(
  folder: TemporaryFolder,
  name: string,
  definitions: readonly PartitionDefinition[],
): Promise<DiskResult> {
  return await makeDisk({
    output: folder.join(name),
    tree: folder.join("tree"),
    definitions,
    seed: "01234567-89ab-cdef-0123-456789abcdef",
    architecture: "x86-64",
    sourceDateEpoch: 1_700_000_000,
    passphraseFile: folder.join("passphrase"),
  });
}

/** The partition as a file of its own, decrypted by cryptsetup. */
function open(folder: TemporaryFolder, disk: DiskResult, { offset, size }: DiskPartition): string {
  const bytes = Buffer.alloc(size);
  const file = openSync(disk.path, "r");
  readSync(file, bytes, 0, size, offset);
  closeSync(file);
  const [key, plain] = [folder.join("passphrase"), folder.join("plain")];
  writeFileSync(plain, bytes);
  run("cryptsetup", ["open", "--test-passphrase", "--key-file", key, plain]);
  decryptLuks(plain, key);
  truncateSync(plain, size - luksDataOffset);
  return plain;
}

test("partitions, UUIDs and labels are those that systemd-repart 257 made", { tags: ["system"] }, async (context) => {
  needPrograms(context, "mksquashfs", "cryptsetup");
  using folder = temporaryFolder();
  prepare(folder);
  const disk = await make(folder, "disk", [
    { ...home, sizeMin: size, sizeMax: size },
    { ...home, type: "srv" },
    { ...home, type: "var", format: "squashfs" },
  ]);
  expect(disk.partitions.map(({ offset, size, uuid }) => [offset, size, uuid])).toEqual([
    [1_048_576, 67_108_864, "c6384fca-e59b-4b73-a86f-ab8b15536288"],
    [68_157_440, 67_108_864, "f87f588c-efac-4621-b136-5fb9ed726269"],
    [135_266_304, 33_558_528, "c0c46eff-e386-4746-a2bd-0962cd326ea2"],
  ]);
  expect(disk.partitions.map(({ luksUuid }) => luksUuid)).toEqual([
    "ae8dd8bc-7934-4d1b-864d-8306ef516f03",
    expect.any(String),
    "5c0283d4-f436-4cf8-a84d-0f1b3ee0c993",
  ]);
});

test("an encrypted file system is whole inside, and invisible outside", { tags: ["system"] }, async (context) => {
  needPrograms(context, "cryptsetup", "e2fsck", "debugfs");
  using folder = temporaryFolder();
  prepare(folder);
  const disk = await make(folder, "disk", [
    { ...home, minimize: "best" },
    { type: "swap", sizeMax: 65_536, sizeMin: 65_536 },
  ]);
  const [partition] = disk.partitions;
  expect(readFileSync(disk.path).includes("mine")).toBe(false);
  const plain = open(folder, disk, partition as DiskPartition);
  run("e2fsck", ["-fn", plain]);
  expect(run("debugfs", ["-R", "cat /user/file", plain])).toBe("mine\n");
  // As systemd-repart: the least of an ext4, in a partition with twice the room that LUKS needs.
  expect(partition?.size).toBe(64 * 1024 ** 2);
  expect(run("dumpe2fs", ["-h", plain])).toContain("Block count:              8192\n");

  const again = await make(folder, "again", [
    { ...home, minimize: "best" },
    { type: "swap", sizeMax: 65_536, sizeMin: 65_536 },
  ]);
  expect(readFileSync(again.path).equals(readFileSync(disk.path))).toBe(true);
});

test("a partition has its own passphrase where KeyFile= names one", { tags: ["system"] }, async (context) => {
  needPrograms(context, "cryptsetup");
  using folder = temporaryFolder();
  prepare(folder);
  writeFileSync(folder.join("own"), "another", { mode: 0o600 });
  const disk = await make(folder, "disk", [{ ...home, minimize: "best", keyFile: folder.join("own") }]);
  expect(() => open(folder, disk, disk.partitions[0] as DiskPartition)).toThrow(/exited with 2/);
  writeFileSync(folder.join("passphrase"), "another");
  expect(open(folder, disk, disk.partitions[0] as DiskPartition)).toContain("plain");
});

test("what cannot be encrypted is refused before anything is made", async () => {
  using folder = temporaryFolder();
  const attempt = async (definition: PartitionDefinition, passphraseFile?: string): Promise<unknown> =>
    await makeDisk({
      output: folder.join("disk"),
      tree: folder.join("no tree"),
      definitions: [definition],
      seed: "01234567-89ab-cdef-0123-456789abcdef",
      architecture: "x86-64",
      passphraseFile,
    }).catch((error: unknown) => error);
  expect(await attempt(home)).toMatchObject({ code: "passphrase-missing", exitCode: 2 });
  expect(await attempt(home, folder.join("none"))).toMatchObject({ code: "passphrase-not-found" });
  writeFileSync(folder.join("open"), "x", { mode: 0o644 });
  expect(await attempt(home, folder.join("open"))).toMatchObject({ code: "secret-open" });
  expect(await attempt({ ...home, verity: "data", verityMatchKey: "x" })).toMatchObject({
    message: expect.stringContaining("Encrypt= cannot be combined with Verity=data") as unknown,
  });
  expect(await attempt({ type: "home", keyFile: "/x" })).toMatchObject({
    message: expect.stringContaining("KeyFile= needs Encrypt=key-file") as unknown,
  });
});
