import { truncateSync, writeFileSync } from "node:fs";
import { needPrograms, run, temporaryFolder } from "@imgtool/testkit";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { makeFatGeometry, type FatRequest } from "./geometry.ts";

const mebibyte = 1024 ** 2;

function own(size: number, fat32: boolean): string {
  const geometry = makeFatGeometry({ size: size * mebibyte, sectorSize: 512, fat32, rootSlots: 1 });
  return `${size} MiB: ${geometry?.bits} bits, ${geometry?.sectorsPerCluster} sectors`;
}

function bits(size: number, sectorSize = 512): number | undefined {
  return makeFatGeometry({ size, sectorSize, fat32: true, rootSlots: 1 })?.bits;
}

test("width and cluster size are those that mkfs.fat chooses", (context) => {
  needPrograms(context, "mkfs.fat");
  using folder = temporaryFolder();
  const image = folder.join("image");
  const chosen = (size: number, ...options: string[]): string => {
    writeFileSync(image, "");
    truncateSync(image, size * mebibyte);
    const text = run("mkfs.fat", ["-v", ...options, image]);
    const [, bits, sectors] = /(\d+)-bit FATs and (\d+) sectors? per cluster/.exec(text) ?? [];
    return `${size} MiB: ${bits} bits, ${sectors} sectors`;
  };
  const sizes = [1, 2, 4, 8, 9, 16, 32, 64, 100, 128, 129, 200, 255, 257, 260, 262, 300, 511, 512, 1024, 5000, 9000];
  expect(sizes.map((size) => own(size, false))).toEqual(sizes.map((size) => chosen(size)));
  const wide = sizes.filter((size) => size >= 34);
  expect(wide.map((size) => own(size, true))).toEqual(wide.map((size) => chosen(size, "-F", "32")));
});

test("a volume too small for FAT32 gets what it can hold", () => {
  expect(bits(32 * mebibyte)).toBe(16);
  expect(bits(5 * mebibyte)).toBe(12);
  expect(bits(200 * mebibyte, 4096)).toBe(16);
  expect(bits(300 * mebibyte, 4096)).toBe(32);
  expect(bits(4096)).toBeUndefined();
});

/** What is wrong with the division of a volume; an empty list when nothing is. */
function faults(wanted: FatRequest): string[] {
  const geometry = makeFatGeometry(wanted);
  if (geometry === undefined) return wanted.size < 2 * mebibyte ? [] : ["too small"];
  const { bits, clusters, fatSectors, sectorSize, sectorsPerCluster, dataSector, totalSectors } = geometry;
  const found: string[] = [];
  if (((clusters + 2) * bits) / 8 > fatSectors * sectorSize) found.push("the tables are too small");
  if (dataSector + clusters * sectorsPerCluster > totalSectors) found.push("past the end");
  if (dataSector % sectorsPerCluster !== 0) found.push("not aligned");
  if (bits !== (clusters < 4085 ? 12 : clusters < 65_525 ? 16 : 32)) found.push(`${bits} bits, ${clusters} clusters`);
  return found;
}

test("tables have room for every cluster, and everything is within the volume", () => {
  const request = fc.record({
    size: fc.integer({ min: 1, max: 2 ** 23 }).map((pages) => pages * 4096),
    sectorSize: fc.constantFrom(512, 1024, 2048, 4096),
    fat32: fc.boolean(),
    rootSlots: fc.integer({ min: 1, max: 5000 }),
  });
  fc.assert(
    fc.property(request, (wanted) => {
      expect(faults(wanted)).toEqual([]);
    }),
  );
});
