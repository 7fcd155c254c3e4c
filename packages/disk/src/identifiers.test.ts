import { needPrograms, run, temporaryFolder } from "@imgtool/testkit";
import { mkdirSync, writeFileSync } from "node:fs";
import { toHex } from "@imgtool/core";
import { expect, test } from "vitest";
import {
  deriveUuid,
  diskUuid,
  fatSerial,
  fileSystemUuid,
  luksUuid,
  partitionUuid,
  verityPartitionUuids,
  veritySalt,
  verityUuid,
} from "./identifiers.ts";
import { findPartitionType, partitionArchitectures, partitionTypes } from "./partition-types.ts";

const seed = "01234567-89ab-cdef-0123-456789abcdef";
const home = findPartitionType("home", "x86-64").uuid;

const typeUuid = (name: string): string => findPartitionType(name, "x86-64").uuid;

// Read from what systemd-repart 257 made of this seed.
test("identifiers are those of systemd-repart", () => {
  expect(diskUuid(seed)).toBe("6913f4b6-6690-4a57-a202-f1b53c56dbdf");
  expect(partitionUuid(seed, home)).toBe("c6384fca-e59b-4b73-a86f-ab8b15536288");
  expect(partitionUuid(seed, home, 1)).toBe("7ae905c9-911f-4881-bb6f-8ab32d50aeeb");
  expect(partitionUuid(seed, home, 2)).toBe("3fdff4da-1f3e-442c-ab79-f9e8bc328c13");
  expect(fileSystemUuid("3fdff4da-1f3e-442c-ab79-f9e8bc328c13")).toBe("114e1e3a-485f-4684-913c-74d9cb90f5ad");
  expect(toHex(veritySalt(seed))).toBe("c65b6ab68edf421fcc0cb48ba60f7f14f5186b4d003d21ab3b334b91de16759c");
  expect(verityUuid(seed)).toBe("898929e6-7747-423e-8593-3659ba461e7c");
});

test("derived UUIDs are marked as version 4 and differ by key and purpose", () => {
  const all = [deriveUuid(seed, "a"), deriveUuid(seed, "b"), luksUuid(home), fileSystemUuid(home), verityUuid(seed)];
  expect(new Set(all).size).toBe(all.length);
  for (const uuid of all) expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test("a FAT serial and the UUIDs of a root hash are parts of what they come from", () => {
  expect(fatSerial("114E1E3A-485f-4684-913c-74d9cb90f5ad")).toBe("114e1e3a");
  const rootHash = Uint8Array.from({ length: 32 }, (_, index) => index);
  expect(verityPartitionUuids(rootHash)).toEqual({
    data: "00010203-0405-0607-0809-0a0b0c0d0e0f",
    hash: "10111213-1415-1617-1819-1a1b1c1d1e1f",
  });
  expect(() => verityPartitionUuids(rootHash.slice(1))).toThrow(RangeError);
});

test("partition types have the UUIDs that systemd has", (context) => {
  needPrograms(context, "systemd-id128");
  const known = new Map(
    run("systemd-id128", ["show"])
      .trim()
      .split("\n")
      .map((line) => line.trim().split(/\s+/) as [string, string]),
  );
  // "mips" and "mips64" are younger than some systemd versions.
  const checked = partitionTypes.filter(({ name }) => known.has(name));
  expect(checked.length).toBeGreaterThan(100);
  for (const { name, uuid } of checked) expect([name, uuid.replaceAll("-", "")]).toEqual([name, known.get(name)]);
});

test("types are found by name, by what they hold, and by UUID", () => {
  expect(partitionArchitectures).toContain("arm64");
  expect(findPartitionType("root", "arm64").name).toBe("root-arm64");
  expect(findPartitionType("usr-verity-sig", "x86-64").uuid).toBe("e7bb33fb-06cf-4e81-8273-e543b413e2e2");
  expect(findPartitionType("C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "x86-64").name).toBe("esp");
  expect(findPartitionType("00000000000000000000000000000001", "x86-64")).toMatchObject({
    name: "00000000-0000-0000-0000-000000000001",
    designator: undefined,
  });
  expect(new Set(partitionTypes.map(({ uuid }) => uuid)).size).toBe(partitionTypes.length);
});

test("an unknown type is refused with the nearest name", () => {
  expect(() => findPartitionType("hoem", "x86-64")).toThrow(
    expect.objectContaining({ code: "partition-type-unknown", hint: 'did you mean "home"?' }) as Error,
  );
  expect(() => findPartitionType("root", "vax")).toThrow('architecture "vax"');
});

test("systemd-repart derives the same from another seed", { tags: ["system"] }, (context) => {
  needPrograms(context, "systemd-repart");
  using folder = temporaryFolder();
  mkdirSync(folder.join("definitions"));
  for (const [index, type] of ["root", "home", "home", "swap"].entries())
    writeFileSync(folder.join("definitions", `${index}.conf`), `[Partition]\nType=${type}\nSizeMinBytes=1M\n`);
  const own = "f00dfeed-1234-4321-8888-0123456789ab";
  const output = run("systemd-repart", [
    `--definitions=${folder.join("definitions")}`,
    `--seed=${own}`,
    "--empty=create",
    "--size=auto",
    "--dry-run=yes",
    "--json=short",
    "--no-pager",
    folder.join("disk.raw"),
  ]);
  const made = (JSON.parse(output) as { uuid: string; type: string }[]).map(({ uuid }) => uuid);
  expect(made).toEqual([
    partitionUuid(own, typeUuid("root")),
    partitionUuid(own, typeUuid("home")),
    partitionUuid(own, typeUuid("home"), 1),
    partitionUuid(own, typeUuid("swap")),
  ]);
});
