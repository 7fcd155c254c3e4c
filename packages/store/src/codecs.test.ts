import { Worker } from "node:worker_threads";
import { FormatError } from "@imgtool/core";
import { findProgram, needPrograms, randomBytes, run } from "@imgtool/testkit";
import { assert, constantFrom, integer, nat, property, uint8Array } from "fast-check";
import { expect, test } from "vitest";
import {
  compressChunk,
  compressionLevel,
  compressions,
  decompressChunk,
  sniffCodec,
  type Codec,
  type StoredChunk,
} from "./index.ts";

const real: readonly Codec[] = ["zstd", "gzip", "xz"];
const plain = Buffer.concat([randomBytes(20_000, "codecs"), Buffer.alloc(45_536, "imgtool ")]);

test("every codec gives back what it was given", () => {
  assert(
    property(uint8Array({ minLength: 1, maxLength: 3000 }), constantFrom(...compressions), (bytes, codec) => {
      const chunk = compressChunk(bytes, codec);
      expect(sniffCodec(chunk.bytes) ?? "none").toBe(chunk.compressed ? codec : (sniffCodec(bytes) ?? "none"));
      expect(Buffer.compare(decompressChunk(chunk, bytes.length), bytes)).toBe(0);
    }),
    { numRuns: 60 },
  );
});

test.each(real)("%s stops at the declared size, and one byte less is too little", (codec) => {
  const chunk = compressChunk(plain, codec);
  expect(decompressChunk(chunk, plain.length)).toHaveLength(plain.length);
  expect(() => decompressChunk(chunk, plain.length - 1)).toThrow(
    expect.objectContaining({ code: "inflates-too-far" }) as FormatError,
  );
});

test.each(real)("%s: a bomb costs no memory", (codec) => {
  const megabytes = codec === "xz" ? 48 : 256; // xz is slow to make one
  const bomb = compressChunk(new Uint8Array(megabytes * 1024 ** 2), codec, codec === "zstd" ? 3 : 1);
  expect(bomb.bytes.length).toBeLessThan(2 * 1024 ** 2);
  const before = process.memoryUsage();
  expect(() => decompressChunk(bomb, 65_536)).toThrow(
    expect.objectContaining({ code: "inflates-too-far" }) as FormatError,
  );
  const after = process.memoryUsage();
  expect(after.external + after.arrayBuffers - before.external - before.arrayBuffers).toBeLessThan(32 * 1024 ** 2);
  expect(after.rss - before.rss).toBeLessThan(64 * 1024 ** 2);
});

test.each(real)(
  "%s: truncated, damaged and extended data is refused or decodes to other bytes, never hangs",
  (codec) => {
    const whole = compressChunk(plain, codec).bytes;
    const attempt = (bytes: Uint8Array): Uint8Array | string => {
      try {
        return decompressChunk({ bytes, compressed: true }, plain.length);
      } catch (error) {
        return error instanceof FormatError ? error.code : String(error);
      }
    };
    for (const length of [6, 7, 20, whole.length >> 1, whole.length - 1])
      expect(attempt(whole.subarray(0, length)), `${length}`).toBe("compressed-invalid");
    assert(
      property(nat(whole.length - 1), integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = Uint8Array.from(whole);
        bytes[at] = (bytes[at] ?? 0) ^ change;
        const result = attempt(bytes);
        const codes = ["compressed-invalid", "codec-unknown", "inflates-too-far"];
        expect(typeof result === "string" ? codes.includes(result) : result.length <= plain.length).toBe(true);
      }),
      { numRuns: 60 },
    );
  },
);

test("xz refuses a dictionary that would not fit into memory, and bytes after the end", () => {
  const xz = compressChunk(plain, "xz").bytes;
  expect(() => decompressChunk({ bytes: Buffer.concat([xz, Buffer.from("more")]), compressed: true }, 1e6)).toThrow(
    "xz data ends at",
  );
});

test("bytes of no codec are refused as compressed and passed on as plain", () => {
  const chunk: StoredChunk = { bytes: Buffer.from("hello"), compressed: true };
  expect(() => decompressChunk(chunk, 5)).toThrow(expect.objectContaining({ code: "codec-unknown" }) as FormatError);
  expect(() => decompressChunk({ bytes: new Uint8Array(), compressed: true }, 5)).toThrow("begins with nothing");
  expect(decompressChunk({ ...chunk, compressed: false }, 5)).toBe(chunk.bytes);
  expect(() => decompressChunk({ ...chunk, compressed: false }, 4)).toThrow("more than 4 bytes");
});

test("levels are checked", () => {
  expect(compressions.map((codec) => compressionLevel(codec))).toEqual([3, 6, 6, 0]);
  expect(compressionLevel("zstd", 22)).toBe(22);
  for (const level of [0, 23, 1.5, Number.NaN]) expect(() => compressionLevel("zstd", level)).toThrow("has no level");
  expect(compressChunk(plain, "zstd", 19).bytes.length).toBeLessThanOrEqual(
    compressChunk(plain, "zstd", 1).bytes.length,
  );
});

test("the programs of the formats read what we write, and we what they write", (context) => {
  needPrograms(context, "zstd", "gzip", "xz");
  for (const codec of real) {
    const program = findProgram(codec) ?? codec;
    const ours = run("sh", ["-c", `"$0" -dc | sha256sum`, program], { input: compressChunk(plain, codec).bytes });
    expect(ours).toBe(run("sha256sum", [], { input: plain }));
    const theirs = Buffer.from(run("sh", ["-c", `"$0" -c | base64 -w0`, program], { input: plain }), "base64");
    expect(sniffCodec(theirs)).toBe(codec);
    expect(Buffer.compare(decompressChunk({ bytes: theirs, compressed: true }, plain.length), plain)).toBe(0);
  }
  expect(
    run("sh", ["-c", "cat > $0 && xz --robot -lv $0; rm $0", `/tmp/imgtool-check-${process.pid}.xz`], {
      input: compressChunk(plain, "xz").bytes,
    }),
  ).toContain("CRC64");
});

test("codecs work in worker threads", async () => {
  const code = `
    const { compressChunk, decompressChunk } = await import(${JSON.stringify(import.meta.resolve("./codecs.ts"))});
    const { parentPort, workerData } = await import("node:worker_threads");
    parentPort.postMessage(["zstd", "gzip", "xz"].map((codec) =>
      Buffer.compare(decompressChunk(compressChunk(workerData, codec), workerData.length), workerData)));`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), {
    workerData: new Uint8Array(plain),
  });
  expect(await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject))).toEqual([
    0, 0, 0,
  ]);
  await worker.terminate();
});
