/** Compressed EROFS, judged by the kernel and by fsck.erofs(1). */
import {
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { needPrograms, needRoot, randomBytes, run, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { array, constantFrom, nat, oneof, sample, tuple } from "fast-check";
import { expect, test, type TestContext } from "vitest";
import { makeFilesystem, scanTree, type MakeFilesystemOptions } from "../src/index.ts";
import { describeTree, epoch, makeFixture, mounted } from "./fixture.ts";

const mebibyte: number = 1024 ** 2;
const algorithms = ["lz4", "lz4hc", "deflate", "zstd"] as const;

async function make(folder: TemporaryFolder, options: Partial<MakeFilesystemOptions> = {}): Promise<string> {
  const output = folder.join(`${readdirSync(folder.path).length}.img`);
  await makeFilesystem("erofs", {
    tree: await scanTree({ tree: folder.join("tree"), sourceDateEpoch: epoch }),
    scratch: folder.path,
    output,
    uuid: "0a1b2c3d-0011-4233-8455-66778899aabb",
    sourceDateEpoch: epoch,
    ...options,
  });
  return output;
}

/** What the kernel sees in an image; undefined where it cannot mount it. */
async function describeMounted(folder: TemporaryFolder, image: string): Promise<string[] | undefined> {
  let seen: string[] | undefined;
  await mounted({ kind: "erofs", image, at: folder.join("mounted") }, (at) => {
    seen = describeTree(at, { nanoseconds: true, attributes: "-" }).slice(1);
  });
  return seen;
}

function describeSource(folder: TemporaryFolder): string[] {
  return describeTree(folder.join("tree"), { nanoseconds: true, attributes: "-", epoch }).slice(1);
}

const line = "All work and no play makes Jack a dull boy. ";

function content(kind: "text" | "zeros" | "noise", length: number, seed: string): Uint8Array {
  if (kind === "zeros") return new Uint8Array(length);
  if (kind === "noise") return randomBytes(length, seed);
  return Buffer.from(
    Array.from({ length: Math.ceil(length / 44) }, (_, at) => `${line}${at}`)
      .join("")
      .slice(0, length),
  );
}

/** Files of all kinds, of sizes around those of blocks and pieces, one of several kinds, one with a hole. */
function makeFiles(folder: TemporaryFolder): void {
  mkdirSync(folder.join("tree"));
  makeFixture(folder.join("tree"), { many: 20 });
  mkdirSync(folder.join("tree/sizes"));
  for (const near of [4096, 8192, 65_536, 131_072, 15 * 65_536])
    for (const more of [-1, 0, 1, 4095])
      for (const kind of ["text", "zeros", "noise"] as const)
        writeFileSync(folder.join(`tree/sizes/${kind}-${near + more}`), content(kind, near + more, `${near}`));
  const large: Uint8Array[] = [];
  for (let at = 0; at < 40; at++)
    large.push(content((["text", "noise", "zeros", "text"] as const)[at % 4] ?? "text", mebibyte + 1000 * at, `${at}`));
  writeFileSync(folder.join("tree/large"), Buffer.concat(large));
  linkSync(folder.join("tree/large"), folder.join("tree/sizes/again"));
  writeFileSync(folder.join("tree/hole"), "begin");
  truncateSync(folder.join("tree/hole"), 60 * mebibyte + 1);
  const open = openSync(folder.join("tree/hole"), "r+");
  writeSync(open, "middle", 20 * mebibyte - 3);
  closeSync(open);
}

/** The judges of an image: erofs-utils of Debian 12 know LZ4 alone; they read all that is compressed. */
async function findContent(
  folder: TemporaryFolder,
  image: string,
  algorithm: string,
  context: TestContext,
): Promise<string[] | undefined> {
  if (algorithm.startsWith("lz4")) run("fsck.erofs", ["--extract", image]);
  const found = await describeMounted(folder, image);
  if (found === undefined) context.skip("needs loop devices, and erofs with this compression in the kernel");
  return found;
}

test.for(algorithms)(
  "%s: compressed files have every byte, the same image every time, holes are cheap",
  { tags: ["system"] },
  async (algorithm, context) => {
    needRoot(context);
    needPrograms(context, "fsck.erofs", "setfattr", "getfattr");
    using folder = temporaryFolder();
    makeFiles(folder);
    const compression = { algorithm, level: undefined };
    const image = await make(folder, { compression });
    expect(readFileSync(await make(folder, { compression })).equals(readFileSync(image))).toBe(true);
    expect(readdirSync(folder.path).filter((name) => name.includes("erofs-data"))).toEqual([]);
    // Of 40 MiB a quarter is noise, a quarter zeros; the hole has 60 MiB, a block in 960 KiB.
    expect(statSync(image).size).toBeLessThan(24 * mebibyte);
    expect(await findContent(folder, image, algorithm, context)).toEqual(describeSource(folder));
  },
);

test.for([
  ...algorithms.map((algorithm) => ({ algorithm, level: undefined })),
  { algorithm: "lz4hc", level: 12 },
  { algorithm: "libdeflate", level: 12 },
  { algorithm: "zstd", level: 15 },
])(
  "$algorithm, level $level: files of any pieces are what they were",
  { tags: ["system"] },
  async (compression, context) => {
    needRoot(context);
    needPrograms(context, "fsck.erofs", "setfattr", "getfattr");
    using folder = temporaryFolder();
    mkdirSync(folder.join("tree"));
    const kinds = constantFrom("text", "zeros", "noise");
    const lengths = oneof(nat(5000), nat(70_000), constantFrom(4096, 8192, 65_536, 131_072, 983_040));
    const files = sample(array(tuple(kinds, lengths), { maxLength: 12 }), { numRuns: 60, seed: 42 });
    for (const [name, pieces] of files.entries()) {
      const bytes = pieces.map(([kind, length], at) => content(kind, length, `${name} ${at}`));
      writeFileSync(folder.join("tree", String(name)), Buffer.concat(bytes));
    }
    const image = await make(folder, { compression });
    expect(await findContent(folder, image, compression.algorithm, context)).toEqual(describeSource(folder));
  },
);

test("what does not shrink is as it is without compression, and little is left in the workspace", async () => {
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree"));
  for (const size of [0, 1, 4096, 4097, 70_000]) writeFileSync(folder.join(`tree/${size}`), randomBytes(size, "noise"));
  const compression = { algorithm: "zstd", level: undefined };
  const [plain, compressed] = [readFileSync(await make(folder)), readFileSync(await make(folder, { compression }))];
  // All but the superblock, which names the algorithm.
  expect(compressed.subarray(4096).equals(plain.subarray(4096))).toBe(true);
  expect(compressed.length).toBe(plain.length);
  await expect(make(folder, { compression, size: 8192 })).rejects.toMatchObject({ code: "filesystem-full" });
  expect(readdirSync(folder.path).filter((name) => name.includes("data"))).toEqual([]);
  expect(existsSync(folder.join("tree"))).toBe(true);
});
