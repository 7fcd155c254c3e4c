import { readFileSync, truncateSync, writeFileSync, openSync, writeSync, closeSync } from "node:fs";
import { needPrograms, run, temporaryFolder } from "@imgtool/testkit";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { decodeGpt, encodeGpt, gptFlags, gptTailSize, type GptDisk } from "./gpt.ts";

const disk: GptDisk = {
  diskUuid: "6913f4b6-6690-4a57-a202-f1b53c56dbdf",
  size: 64 * 1024 ** 2,
  partitions: [
    {
      type: "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
      uuid: "01234567-89ab-4def-8123-456789abcdef",
      label: "root é 𐍈",
      flags: gptFlags.readOnly | gptFlags.growFileSystem,
      offset: 1024 ** 2,
      size: 10 * 1024 ** 2,
    },
    {
      number: 5,
      type: "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f",
      uuid: "11234567-89ab-4def-8123-456789abcdef",
      flags: gptFlags.noAuto,
      offset: 12 * 1024 ** 2,
      size: 4096,
    },
  ],
};

function writeDisk(path: string, disk: GptDisk): void {
  writeFileSync(path, "");
  truncateSync(path, disk.size);
  const file = openSync(path, "r+");
  for (const { offset, bytes } of encodeGpt(disk)) writeSync(file, bytes, 0, bytes.length, offset);
  closeSync(file);
}

test.each([512, 1024, 2048, 4096])("both tables of a disk with %i-byte sectors read back", (sectorSize) => {
  const [head, tail] = encodeGpt({ ...disk, sectorSize });
  expect(decodeGpt(Buffer.from(head.bytes), { sectorSize })).toEqual(decodeGpt(head.bytes, { sectorSize }));
  expect(tail.offset + tail.bytes.length).toBe(disk.size);
  expect(tail.bytes.length).toBe(gptTailSize(sectorSize));
  for (const [bytes, part] of [
    [head.bytes, "head"],
    [tail.bytes, "tail"],
  ] as const) {
    const decoded = decodeGpt(bytes, { sectorSize, part });
    expect(decoded).toMatchObject({ diskUuid: disk.diskUuid, size: disk.size, sectorSize, backupOffset: tail.offset });
    expect(decoded.partitions).toEqual([
      { ...disk.partitions[0], number: 1 },
      { ...disk.partitions[1], label: "" },
    ]);
  }
});

test("sgdisk finds nothing wrong and reads every field", (context) => {
  needPrograms(context, "sgdisk");
  using folder = temporaryFolder();
  const path = folder.join("disk");
  writeDisk(path, disk);
  expect(run("sgdisk", ["-v", path])).toContain("No problems found");
  const table = run("sgdisk", ["-p", path]);
  expect(table).toContain(`Disk identifier (GUID): ${disk.diskUuid.toUpperCase()}`);
  const first = run("sgdisk", ["-i", "1", path]);
  expect(first).toContain("Partition GUID code: 4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709");
  expect(first).toContain("Partition unique GUID: 01234567-89AB-4DEF-8123-456789ABCDEF");
  expect(first).toContain("First sector: 2048 ");
  expect(first).toContain("Last sector: 22527 ");
  expect(first).toContain("Attribute flags: 1800000000000000");
  expect(first).toContain("Partition name: 'root é");
  expect(run("sgdisk", ["-i", "5", path])).toContain("Attribute flags: 8000000000000000");
});

test("sfdisk reads the same table", (context) => {
  needPrograms(context, "sfdisk");
  using folder = temporaryFolder();
  const path = folder.join("disk");
  writeDisk(path, disk);
  const { partitiontable } = JSON.parse(run("sfdisk", ["--json", path])) as {
    readonly partitiontable: { readonly id: string; readonly partitions: readonly Record<string, unknown>[] };
  };
  expect(partitiontable.id).toBe(disk.diskUuid.toUpperCase());
  expect(partitiontable.partitions[0]).toMatchObject({ start: 2048, size: 20_480, name: "root é 𐍈" });
});

test("any change of a byte that the checksums cover is found", () => {
  const [head] = encodeGpt(disk);
  const covered = fc.oneof(fc.integer({ min: 512, max: 512 + 91 }), fc.integer({ min: 1024, max: 1024 + 16_383 }));
  fc.assert(
    fc.property(covered, fc.integer({ min: 1, max: 255 }), (at, change) => {
      const bytes = head.bytes.slice();
      bytes[at] = (bytes[at] as number) ^ change;
      expect(() => decodeGpt(bytes)).toThrow("GPT primary header");
    }),
  );
});

test("random bytes are refused, not crashed on", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40_000 }), (bytes) => {
      expect(() => decodeGpt(bytes)).toThrow(expect.objectContaining({ code: "gpt-invalid" }) as Error);
    }),
    { numRuns: 30 },
  );
});

test("what cannot be is refused", () => {
  const [one] = disk.partitions;
  if (one === undefined) throw new Error("no partition");
  const refuse = (changes: Partial<GptDisk>, message: string): void =>
    expect(() => encodeGpt({ ...disk, ...changes })).toThrow(message);
  refuse({ sectorSize: 520 }, "sector size 520");
  refuse({ size: 1_000_001 }, "not a multiple");
  refuse({ size: 1024 ** 2 }, "too small");
  refuse({ partitions: [{ ...one, offset: 100 }] }, "multiples of 512");
  refuse({ partitions: [{ ...one, offset: 512 }] }, "outside");
  refuse({ partitions: [{ ...one, size: disk.size }] }, "outside");
  refuse({ partitions: [one, { ...one, offset: 2 * 1024 ** 2 }] }, "overlaps partition 1");
  refuse({ partitions: [{ ...one, label: "x".repeat(37) }] }, "37 UTF-16 units");
  refuse({ partitions: [{ ...one, number: 129 }] }, "from 1 to 128");
  refuse({ partitions: [{ ...one, type: "root" }] }, "not a UUID");
});

test("the protective MBR covers the disk", () => {
  const [head] = encodeGpt(disk);
  expect([...head.bytes.subarray(446, 462)]).toEqual([0, 0, 2, 0, 0xee, 255, 255, 255, 1, 0, 0, 0, 255, 255, 1, 0]);
  expect([...head.bytes.subarray(510, 512)]).toEqual([0x55, 0xaa]);
  const large = encodeGpt({ ...disk, size: 4 * 1024 ** 4, partitions: [] });
  expect([...large[0].bytes.subarray(458, 462)]).toEqual([255, 255, 255, 255]);
});

test("the module needs nothing of Node.js", () => {
  for (const name of ["gpt", "identifiers", "verity", "crc32"])
    expect(readFileSync(new URL(`./${name}.ts`, import.meta.url), "utf8")).not.toContain('"node:');
});
