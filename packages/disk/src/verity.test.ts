import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { fromHex, toHex } from "@imgtool/core";
import { needPrograms, randomBytes, run, temporaryFolder } from "@imgtool/testkit";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { makeVerity } from "./verity-file.ts";
import { decodeVeritySuperblock, encodeVeritySuperblock, VerityTree, verityBlockSize, verityLayout } from "./verity.ts";

const uuid = "12345678-1234-4123-8123-123456789abc";
const salt = fromHex("00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");

/** The hash partition as the pure builder makes it. */
function build(data: Uint8Array, salt: Uint8Array): { hash: Uint8Array; root: string } {
  const dataBlocks = data.length / verityBlockSize;
  const hash = new Uint8Array(verityLayout(dataBlocks).size);
  hash.set(encodeVeritySuperblock({ uuid, salt, dataBlocks }));
  const tree = new VerityTree({ dataBlocks, salt, write: (offset, bytes) => hash.set(bytes, offset) });
  for (let at = 0; at < data.length; at += 3 * verityBlockSize)
    tree.update(data.subarray(at, at + 3 * verityBlockSize));
  return { hash, root: toHex(tree.finish()) };
}

// Made with `veritysetup format --salt=… --uuid=…` of cryptsetup 2.6 over blocks filled with their number.
test.each([
  [1, "582bee8867035288473e1a2b13836ad02a03756330e41b91c1a13a0d44196bc8"],
  [2, "d9c17c715cf2e8e9fca5d047db3731f8a8dc169ee1746382593f4f8e9c5d792f"],
  [128, "9c7c2d1ef604f6e1e518db519ea77e35bdc2141ff0d9a4444d07523b4b515560"],
  [129, "31c00bf673a337ef30237cfaa39ca07b87e7f448538fb54635b06ffef6d9162a"],
  [16385, "7e133493f1df16e8936ffd39067cd97246a4fdc909d8f790782ea390903ce637"],
] as const)("%i data blocks give the root hash that veritysetup gave", (blocks, root) => {
  const data = new Uint8Array(blocks * verityBlockSize);
  for (let block = 0; block < blocks; block++)
    data.fill(block & 255, block * verityBlockSize, (block + 1) * verityBlockSize);
  expect(build(data, salt).root).toBe(root);
});

test.for([1, 2, 127, 128, 129, 300])("veritysetup makes the same hash device of %i blocks", async (blocks, context) => {
  needPrograms(context, "veritysetup");
  using folder = temporaryFolder();
  const data = randomBytes(blocks * verityBlockSize, String(blocks));
  writeFileSync(folder.join("data"), data);
  const output = run("veritysetup", [
    "format",
    `--salt=${toHex(salt)}`,
    `--uuid=${uuid}`,
    folder.join("data"),
    folder.join("theirs"),
  ]);
  const theirs = readFileSync(folder.join("theirs"));
  const ours = build(data, salt);
  expect(output).toContain(ours.root);
  expect(theirs.equals(ours.hash)).toBe(true);
  const file = folder.join("ours");
  const made = await makeVerity({ data: folder.join("data"), dataSize: data.length, output: file, uuid, salt });
  expect(toHex(made.rootHash)).toBe(ours.root);
  expect(readFileSync(file).equals(theirs)).toBe(true);
  run("veritysetup", ["verify", folder.join("data"), file, ours.root]);
});

test("threads, offsets and holes give the tree that one pass gives", async () => {
  using folder = temporaryFolder();
  // Three pieces for each of two threads, the last one partial, zeros in the middle.
  const data = randomBytes(140 * 1024 ** 2 + 5 * verityBlockSize, "threads").fill(0, 30_000_000, 60_000_000);
  const offset = 3 * verityBlockSize;
  writeFileSync(folder.join("disk"), Buffer.concat([Buffer.alloc(offset, 1), data]));
  const roots: string[] = [];
  for (const threads of [1, 2]) {
    const options = { data: folder.join("disk"), dataOffset: offset, dataSize: data.length, uuid, salt, threads };
    const output = folder.join(`hash-${threads}`);
    const { rootHash, size } = await makeVerity({ ...options, output });
    const bytes = readFileSync(output);
    expect(bytes.length).toBe(size);
    roots.push(toHex(rootHash), createHash("sha256").update(bytes).digest("hex"));
  }
  expect(roots.slice(0, 2)).toEqual(roots.slice(2));
});

test("an interruption stops the threads", async () => {
  using folder = temporaryFolder();
  const size = 300 * 1024 ** 2;
  run("truncate", ["-s", String(size), folder.join("data")]);
  const controller = new AbortController();
  const made = makeVerity({
    data: folder.join("data"),
    dataSize: size,
    output: folder.join("hash"),
    uuid,
    salt,
    threads: 2,
    signal: controller.signal,
  });
  controller.abort();
  await expect(made).rejects.toMatchObject({ code: "aborted" });
});

test("data that ends early is an error in a thread, too", async () => {
  using folder = temporaryFolder();
  writeFileSync(folder.join("data"), Buffer.alloc(verityBlockSize));
  for (const dataSize of [verityBlockSize * 10, 200 * 1024 ** 2])
    await expect(
      makeVerity({ data: folder.join("data"), dataSize, output: folder.join("hash"), uuid, salt, threads: 2 }),
    ).rejects.toThrow("ends early");
});

test("superblocks read back, and anything else is refused", () => {
  const superblock = { uuid, salt, dataBlocks: 123_456_789, blockSizes: { data: 1024, hash: 4096 } };
  expect(decodeVeritySuperblock(encodeVeritySuperblock(superblock))).toEqual(superblock);
  const bytes = encodeVeritySuperblock(superblock);
  for (const at of [0, 8, 12, 32, 64, 68]) {
    const changed = bytes.slice();
    changed[at] = (changed[at] as number) ^ 1;
    expect(() => decodeVeritySuperblock(changed)).toThrow("verity superblock");
  }
  expect(() => decodeVeritySuperblock(bytes.subarray(0, 100))).toThrow("at least 512");
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 5000 }), (bytes) => {
      expect(() => decodeVeritySuperblock(bytes)).toThrow("verity superblock");
    }),
  );
});

test("the layout holds every digest once", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 32 }), (blocks) => {
      const { levels, size } = verityLayout(blocks);
      let below = blocks;
      let end = size;
      for (const level of levels) {
        expect(level.blocks).toBe(Math.ceil(below / 128));
        expect(level.offset + level.blocks * verityBlockSize).toBe(end);
        end = level.offset;
        below = level.blocks;
      }
      expect(below).toBe(1);
      expect(end).toBe(verityBlockSize);
    }),
  );
});

test("the builder refuses too much and too little data", () => {
  const tree = new VerityTree({ dataBlocks: 2, salt, write: () => {} });
  tree.update(new Uint8Array(verityBlockSize));
  expect(() => tree.finish()).toThrow("1 data blocks came, 2 were announced");
  expect(() => tree.update(new Uint8Array(100))).toThrow("blocks of 4096");
  expect(() => tree.update(new Uint8Array(2 * verityBlockSize))).toThrow("more data");
});
