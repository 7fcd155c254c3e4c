import {
  closeSync,
  copyFileSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { gunzipSync } from "node:zlib";
import { needPrograms, needRoot, randomBytes, run, temporaryFolder, attachLoopDevice } from "@imgtool/testkit";
import { array, assert, constantFrom, nat, property, tuple, uint8Array } from "fast-check";
import { expect, test } from "vitest";
import { blobSeed } from "./file-seed.ts";
import { fileSystemHeadSize, fileSystemSize } from "./file-system-size.ts";
import { makeBlob } from "./make-blob.ts";
import { digestBlob } from "./tree/digest-tree.ts";

interface Golden {
  readonly name: string;
  readonly kind: string;
  readonly size: number | null;
  readonly head: string;
}

const goldens = JSON.parse(
  readFileSync(new URL("../test/file-system-heads.json", import.meta.url), "utf8"),
) as readonly Golden[];
const headOf = (name: string): Buffer =>
  gunzipSync(Buffer.from(goldens.find((one) => one.name === name)?.head ?? "", "base64"));

test.for(goldens)("$name: as long as its program made it", ({ kind, size, name }) => {
  expect(fileSystemSize(headOf(name))).toEqual(size === null ? undefined : { kind, size });
});

test("a LUKS2 segment of a fixed length ends where it says", () => {
  const head = headOf("LUKS2 to the end of the device");
  const text = head.toString("latin1").replace(`"size":"dynamic"`, `"size":"4194304"`);
  expect(fileSystemSize(Buffer.from(text, "latin1"))).toEqual({ kind: "luks2", size: 16_777_216 + 4_194_304 });
});

test("an Android boot image is as long as its parts", () => {
  const head = Buffer.alloc(4096);
  head.write("ANDROID!");
  for (const [at, value] of [
    [8, 5000],
    [16, 1],
    [24, 0],
    [36, 2048],
    [40, 2048],
  ] as const)
    head.writeUInt32LE(value, at);
  expect(fileSystemSize(head)).toEqual({ kind: "android-boot", size: 2048 + 6144 + 2048 + 2048 });
});

const hostile: readonly (readonly [string, string, (head: Buffer) => void])[] = [
  ["ext4 with blocks of 2^42 bytes", "ext4", (head) => head.writeUInt32LE(32, 1024 + 0x18)],
  ["ext4 without blocks", "ext4", (head) => head.fill(0, 1024 + 4, 1024 + 8)],
  ["btrfs of 2^64 bytes", "btrfs", (head) => head.fill(0xff, 0x1_0000 + 0xc9 + 8, 0x1_0000 + 0xc9 + 16)],
  ["XFS with blocks of 3 bytes", "xfs", (head) => head.writeUInt32BE(3, 4)],
  ["XFS of 2^64 blocks", "xfs", (head) => head.fill(0xff, 8, 16)],
  ["squashfs of another version", "squashfs", (head) => head.writeUInt16LE(3, 28)],
  ["squashfs of 2^64 bytes", "squashfs", (head) => head.fill(0xff, 40, 48)],
  ["EROFS with blocks of 2^200 bytes", "erofs", (head) => head.writeUInt8(200, 1024 + 12)],
  ["FAT with sectors of 0 bytes", "FAT with 32 bits", (head) => head.writeUInt16LE(0, 11)],
  ["FAT with 200 tables", "FAT with 16 bits", (head) => head.writeUInt8(200, 16)],
  ["swap of another version", "swap", (head) => head.writeUInt32LE(2, 1024)],
  ["LUKS2 with a header of 2^63 bytes", "LUKS2 to the end of the device", (head) => head.writeUInt8(0x80, 8)],
  ["LUKS2 with other words", "LUKS2 to the end of the device", (head) => head.write(`{"segments":7}\0`, 4096)],
  ["two kinds in one place", "btrfs", (head) => headOf("ext4").copy(head, 1024, 1024, 2048)],
];

test.for(hostile)("%s is no file system that tells its length", ([, name, damage]) => {
  const head = headOf(name);
  damage(head);
  expect(fileSystemSize(head)).toBeUndefined();
});

test("whatever the bytes, and however few: a length that can be one, or none", () => {
  const names = goldens.map((one) => one.name);
  assert(
    property(
      constantFrom(...names),
      nat(fileSystemHeadSize),
      array(tuple(nat(4096), uint8Array({ minLength: 1, maxLength: 8 })), { maxLength: 4 }),
      (name, length, edits) => {
        const head = Buffer.concat([headOf(name), Buffer.alloc(8192)]);
        for (const [at, bytes] of edits) head.set(bytes, at);
        const found = fileSystemSize(head.subarray(0, length));
        expect(found === undefined || (Number.isSafeInteger(found.size) && found.size > 0)).toBe(true);
      },
    ),
    { numRuns: 300 },
  );
  expect(fileSystemSize(new Uint8Array(0))).toBeUndefined();
  expect(fileSystemSize(randomBytes(fileSystemHeadSize, "no file system"))).toBeUndefined();
});

test("of a block device its file system is read, of a file everything, as casync does", async (context) => {
  needRoot(context);
  needPrograms(context, "losetup", "casync");
  using folder = temporaryFolder();
  const image = folder.join("image");
  for (const name of ["ext4", "squashfs", "FAT with 12 bits", "swap"]) {
    const size = goldens.find((one) => one.name === name)?.size ?? 0;
    writeFileSync(image, headOf(name));
    truncateSync(image, size);
    const descriptor = openSync(image, "r+");
    writeSync(descriptor, randomBytes(1_048_576, "left over"), 0, 1_048_576, size);
    closeSync(descriptor);
    using device = attachLoopDevice(context, image);
    const made = await makeBlob({
      source: device.path,
      index: folder.join("device.caibx"),
      store: folder.join("s"),
      durable: false,
      contentDigest: true,
    });
    expect(await digestBlob({ file: device.path })).toBe(made.digest);
    // casync 2 reads devices with swap to their end
    const judged = name === "swap" ? made.digest : run("casync", ["digest", device.path]).trim();
    expect(judged).toBe(made.digest);
    expect(await digestBlob({ file: image })).toBe(run("casync", ["digest", image]).trim());
    copyFileSync(image, folder.join("cut"));
    truncateSync(folder.join("cut"), size);
    expect(await digestBlob({ file: folder.join("cut") })).toBe(made.digest);
    rmSync(folder.join("cut"));
  }
});

test("a superblock that claims more than the device has is not believed", async (context) => {
  needRoot(context);
  needPrograms(context, "losetup");
  using folder = temporaryFolder();
  writeFileSync(folder.join("image"), headOf("ext4"));
  truncateSync(folder.join("image"), 1_048_576);
  using device = attachLoopDevice(context, folder.join("image"));
  const made = await makeBlob({ source: device.path, index: folder.join("o.caibx"), store: folder.join("s") });
  expect(made.size).toBe(1_048_576);
  const seed = await blobSeed(device.path, { sizes: { min: 16_384, avg: 65_536, max: 262_144 }, digest: "sha512-256" });
  await seed.close();
});
