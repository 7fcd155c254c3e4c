import { hash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { needPrograms, run, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import {
  blobFlags,
  chunkDigest,
  ChunkIndex,
  type ChunkSizes,
  Cutter,
  decodeIndex,
  type DigestAlgorithm,
  digestLength,
  encodeIndex,
  parseChunkSizes,
} from "../src/index.ts";
import { settings, streams } from "./vectors.ts";

const vectorsFile = new URL("vectors.json", import.meta.url);
/** "stream chunk-size" → "number of chunks, SHA-256 of the .caibx". */
type Vectors = Readonly<Record<string, string>>;

const nodeDigest = (algorithm: DigestAlgorithm, bytes: Uint8Array): Uint8Array => hash(algorithm, bytes, "buffer");

function indexOf(stream: Uint8Array, sizes: ChunkSizes, algorithm: DigestAlgorithm, digest = nodeDigest): Uint8Array {
  const cutter = new Cutter(sizes);
  const ends: number[] = [];
  const ids: Uint8Array[] = [];
  let from = 0;
  while (from < stream.length) {
    const cut = cutter.next(stream, from);
    const to = cut < 0 ? stream.length : from + cut;
    ends.push(to);
    ids.push(digest(algorithm, stream.subarray(from, to)));
    from = to;
  }
  const joined = new Uint8Array(ids.length * digestLength);
  for (const [i, id] of ids.entries()) joined.set(id, i * digestLength);
  return encodeIndex(
    new ChunkIndex({ flags: blobFlags(algorithm), sizes, ends: Float64Array.from(ends), ids: joined }),
  );
}

const summary = (index: Uint8Array): string =>
  `${decodeIndex(index).count} ${Buffer.from(nodeDigest("sha256", index)).toString("hex")}`;

function ours(algorithm: DigestAlgorithm): Vectors {
  const made: Record<string, string> = {};
  for (const [name, make] of Object.entries(streams)) {
    const stream = make();
    for (const size of settings) made[`${name} ${size}`] = summary(indexOf(stream, parseChunkSizes(size), algorithm));
  }
  return made;
}

test("indexes are those that casync made: golden vectors of every stream and chunk size", () => {
  expect(ours("sha512-256")).toEqual(JSON.parse(readFileSync(vectorsFile, "utf8")));
});

test("the golden vectors are what casync makes", { tags: ["system"] }, (context) => {
  needPrograms(context, "casync");
  // casync writes a file for every chunk, of all pairs 660,000: 28 to 230 s in memory, with how busy the machine is
  // (measured). Those of more than 10,000 are 550,000 of them, and made anew with the vectors only.
  using folder = temporaryFolder("memory");
  const golden = JSON.parse(readFileSync(vectorsFile, "utf8")) as Vectors;
  const isNew = process.env["UPDATE_VECTORS"] === "1";
  const theirs: Record<string, string> = {};
  for (const [name, make] of Object.entries(streams)) {
    writeFileSync(folder.join("stream"), make());
    for (const size of settings) {
      const pair = `${name} ${size}`;
      const known = golden[pair];
      if (!isNew && known !== undefined && Number.parseInt(known, 10) > 10_000) {
        theirs[pair] = known;
        continue;
      }
      run("casync", ["make", "--store=none.castr", "--compression=gzip", `--chunk-size=${size}`, "o.caibx", "stream"], {
        cwd: folder.path,
      });
      theirs[pair] = summary(readFileSync(folder.join("o.caibx")));
    }
  }
  if (isNew) writeFileSync(vectorsFile, `${JSON.stringify(theirs, null, 1)}\n`);
  expect(JSON.parse(readFileSync(vectorsFile, "utf8"))).toEqual(theirs);
});

test("casync makes the same index with both digests", (context) => {
  needPrograms(context, "casync");
  using folder = temporaryFolder();
  for (const [digest, algorithm] of [
    ["sha512-256", "sha512-256"],
    ["sha256", "sha256"],
  ] as const) {
    for (const name of ["empty", "text", "blocks"]) {
      const stream = streams[name]?.() ?? new Uint8Array(1);
      writeFileSync(folder.join("stream"), stream);
      run("casync", ["make", `--store=${digest}.castr`, `--digest=${digest}`, "o.caibx", "stream"], {
        cwd: folder.path,
      });
      const theirs = readFileSync(folder.join("o.caibx"));
      expect(Buffer.from(indexOf(stream, parseChunkSizes("auto"), algorithm))).toEqual(theirs);
      expect(Buffer.from(indexOf(stream, parseChunkSizes("auto"), algorithm, chunkDigest))).toEqual(theirs);
      expect(Buffer.from(encodeIndex(decodeIndex(theirs)))).toEqual(theirs);
    }
  }
});
