import * as fc from "fast-check";
import { expect, test } from "vitest";
import { encodeExtents, extentTreeBlocks, levelsOf } from "./btree.ts";
import { hashName, spread } from "./format.ts";
import { diskBlock, groupLength, makeGeometry } from "./geometry.ts";
import { planHashTree } from "./hash-tree.ts";
import { Space } from "./space.ts";

// From `xfs_db -c "hash NAME"` of xfsprogs 6.1.
test.each([
  [".", 0x2e],
  ["..", 0x172e],
  ["etc", 0x19_7a63],
  ["fifo", 0xcda_736f],
  ["lost+found", 0x21a_a60c],
])("the hash of %j", (name, hash) => {
  expect(hashName(Buffer.from(name))).toBe(hash);
});

test("pages are filled evenly, none less than half", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 5000 }), fc.integer({ min: 2, max: 600 }), (count, most) => {
      const pages = spread(count, most);
      expect(pages.reduce((sum, page) => sum + page, 0)).toBe(count);
      expect(Math.max(...pages)).toBeLessThanOrEqual(most);
      const least = pages.length > 1 ? Math.floor(most / 2) : 0;
      expect(Math.min(...pages)).toBeGreaterThanOrEqual(least);
    }),
  );
});

// As mkfs.xfs 6.1 has them; it leaves five blocks of 5 TiB unused, for one group less.
test.each([
  [0.3, 4, 16_384],
  [128, 4, 16_384],
  [200, 4, 25_600],
  [3072, 4, 393_216],
  [5120, 6, 521_728],
])("%d GiB: groups and log", (gibibytes, groups, logBlocks) => {
  const geometry = makeGeometry(Math.floor((gibibytes * 2 ** 30) / 4096), 512);
  expect(geometry).toMatchObject({ groups, logBlocks });
  expect(groupLength(geometry, groups - 1)).toBeGreaterThan(geometry.groupBlocks - groups);
  expect(2 ** geometry.groupLog).toBeGreaterThanOrEqual(geometry.groupBlocks);
});

test("a tree of extents grows by levels", () => {
  expect(extentTreeBlocks(21, 336)).toBe(0);
  expect(extentTreeBlocks(22, 336)).toBe(1);
  expect(extentTreeBlocks(20 * 251, 336)).toBe(20);
  expect(extentTreeBlocks(20 * 251 + 1, 336)).toBe(22);
  expect(levelsOf(252 * 505 + 1, 252, 505, 1).map((level) => level.length)).toEqual([506, 2, 1]);
});

test("every extent of a large tree is found from its root", () => {
  const geometry = makeGeometry(10_000_000, 512);
  const extents = Array.from({ length: 6000 }, (_, index) => {
    return { logical: index * 3, start: 5_000_000 + index * 2, count: 1 };
  });
  const blocks = Array.from({ length: extentTreeBlocks(6000, 104) }, (_, index) => 9_000_000 + index);
  const { root, pages } = encodeExtents(extents, blocks, 104, 131, geometry, new Uint8Array(16));
  const pageAt = new Map(pages.map(({ block, bytes }) => [diskBlock(geometry, block), Buffer.from(bytes)]));
  const wrongKeys: number[] = [];
  const find = (page: Buffer, level: number, header: number, limit: number): number[] => {
    const count = page.readUInt16BE(header - (header === 4 ? 2 : 66));
    const found: number[] = [];
    for (let item = 0; item < count; item++) {
      if (level === 0) found.push(Number(page.readBigUInt64BE(header + item * 16) >> 9n));
      else {
        const child = pageAt.get(Number(page.readBigUInt64BE(header + limit * 8 + item * 8)));
        const below = find(child ?? Buffer.alloc(0), level - 1, 72, 251);
        const key = Number(page.readBigUInt64BE(header + item * 8));
        if (key !== below[0]) wrongKeys.push(key);
        found.push(...below);
      }
    }
    return found;
  };
  const top = Buffer.from(root);
  expect(find(top, top.readUInt16BE(0), 4, 6)).toEqual(extents.map(({ logical }) => logical));
  expect(wrongKeys).toEqual([]);
});

test("a tree of hashes has its root in the first block and leads to every leaf", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2000 }), (leaves) => {
      const hashes = Array.from({ length: leaves }, (_, index) => index * 7);
      const base = 8_388_608;
      const tree = planHashTree(hashes, base);
      const find = (block: number): number[] => {
        const node = tree.nodes.get(block - base);
        return node === undefined ? [block] : node.entries.flatMap(({ before }) => find(before));
      };
      expect(find(base)).toEqual(hashes.map((_, index) => tree.firstLeaf + index));
      expect(tree.count).toBe(leaves + tree.nodes.size);
    }),
  );
});

test("space is handed out once, and what is left is free", () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 9000 }), { maxLength: 12 });
  fc.assert(
    fc.property(
      fc.integer({ min: 76_800, max: 90_000 }),
      fc.constantFrom(512, 1024, 2048, 4096),
      fc.integer({ min: 1, max: 3000 }),
      fc.boolean(),
      sizes,
      (blocks, sectorSize, chunks, spare, requests) => {
        const geometry = makeGeometry(blocks, sectorSize);
        const space = new Space(geometry, chunks, spare);
        const taken: { start: number; end: number }[] = [];
        const take = (start: number, count: number): void => void taken.push({ start, end: start + count });
        for (const count of requests)
          for (const extent of space.allocate({ logical: 0, count })) take(extent.start, extent.count);
        take(space.log, geometry.logBlocks);
        for (const group of space.groups) {
          take(group.start, geometry.headerBlocks);
          for (const block of [...Object.values(group.roots), ...group.freeList, ...group.inodeTree]) take(block, 1);
          for (const block of group.chunks) take(block, 8);
          for (const { start, end } of space.free(group)) take(start, end - start);
          expect(group.length).toBe(groupLength(geometry, space.groups.indexOf(group)));
        }
        // Together they are the whole, without gaps and without overlaps.
        taken.sort((a, b) => a.start - b.start);
        let at = 0;
        for (const { start, end } of taken) {
          expect(start).toBe(at);
          at = end;
        }
        expect(at).toBe(blocks);
        expect(space.inodeNumber(0)).toBe(128);
      },
    ),
    { numRuns: 60 },
  );
});
