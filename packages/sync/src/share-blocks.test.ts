import { closeSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from "node:fs";
import { openLocalStore } from "@imgtool/store";
import { randomBytes, temporaryFolder, mountFileSystem, sharedBytes } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { extractBlob } from "./extract-blob.ts";
import { blobSeed } from "./file-seed.ts";
import { makeBlob } from "./make-blob.ts";
import { readIndex } from "./read-index.ts";

const mebibyte = 1024 ** 2;

for (const kind of ["btrfs", "xfs"] as const) {
  test(`on ${kind}, an output shares the blocks of its seed, and its own`, { tags: ["system"] }, async (context) => {
    using folder = temporaryFolder();
    using system = mountFileSystem(context, kind, folder);
    const at = (name: string): string => `${system.path}/${name}`;
    const former = randomBytes(4 * mebibyte, "former");
    // A change in place; a hole; content that moved by a page; content that moved by a byte; a repetition.
    const next = new Uint8Array(11 * mebibyte + 1000);
    next.set(former);
    next.set(randomBytes(100, "change"), mebibyte);
    next.set(former.subarray(0, mebibyte), 5 * mebibyte + 4096);
    next.set(former.subarray(mebibyte, 2 * mebibyte), 7 * mebibyte + 1);
    next.set(randomBytes(mebibyte, "repeated"), 8 * mebibyte + 8192);
    next.set(randomBytes(mebibyte, "repeated"), 9 * mebibyte + 12_288);
    writeFileSync(at("former"), former);
    writeFileSync(folder.join("next"), next);
    await makeBlob({ source: folder.join("next"), index: folder.join("o.caibx"), store: folder.join("s") });
    const index = await readIndex(folder.join("o.caibx"));
    const stores = [await openLocalStore(folder.join("s"))];
    const seed = await blobSeed(at("former"), index);
    const result = await extractBlob({ index, stores, seeds: [seed], output: at("out") });
    expect(readFileSync(at("out")).equals(next)).toBe(true);
    expect(result.fromSeeds).toBeGreaterThan(result.fromStores);
    // 4 MiB and 1 MiB of the seed, twice 1 MiB of its own, less what lies in chunks that were cut apart
    const shared = sharedBytes(at("out"));
    expect(shared).toBeGreaterThan(5.5 * mebibyte);
    expect(shared).toBeLessThan(7.1 * mebibyte);
    expect(statSync(at("out")).blocks * 512).toBeLessThan(9 * mebibyte);

    // an output that is there is a seed, too, and is not changed by what replaces it
    const again = await extractBlob({ index, stores: [], output: at("out") });
    expect(again.fromStores).toBe(0);
    expect(readFileSync(at("out")).equals(next)).toBe(true);
    const copied = { index, stores, seeds: [seed], reflink: false };
    await extractBlob({ ...copied, output: at("copy") });
    expect(readFileSync(at("copy")).equals(next)).toBe(true);
    expect(sharedBytes(at("copy"))).toBe(0);

    // a seed that is changed behind our back: of some chunks every byte, of others one
    const descriptor = openSync(at("former"), "r+");
    writeSync(descriptor, randomBytes(mebibyte, "behind"), 0, mebibyte, 2 * mebibyte);
    writeSync(descriptor, Uint8Array.of(1), 0, 1, 100);
    closeSync(descriptor);
    const refetched = await extractBlob({ ...copied, reflink: true, output: at("refetched") });
    expect(readFileSync(at("refetched")).equals(next)).toBe(true);
    expect(refetched.fromStores).toBeGreaterThan(result.fromStores);
    expect(sharedBytes(at("refetched"))).toBeGreaterThan(mebibyte);
    await seed.close();

    const solid = await extractBlob({ index, stores, output: at("solid"), punchHoles: false });
    expect(solid.bytes).toBe(next.length);
    expect(sharedBytes(at("solid"))).toBe(0);
  });
}

test("on a file system without shared blocks, bytes are copied", async () => {
  using folder = temporaryFolder();
  writeFileSync(folder.join("blob"), randomBytes(mebibyte, "copied"));
  await makeBlob({
    source: folder.join("blob"),
    index: folder.join("o.caibx"),
    store: folder.join("s"),
    durable: false,
  });
  const index = await readIndex(folder.join("o.caibx"));
  const seed = await blobSeed(folder.join("blob"), index);
  const result = await extractBlob({ index, stores: [], seeds: [seed], output: folder.join("out"), seedOutput: false });
  expect(result.fromSeeds).toBe(index.count);
  expect(readFileSync(folder.join("out")).equals(readFileSync(folder.join("blob")))).toBe(true);
  await seed.close();
});
