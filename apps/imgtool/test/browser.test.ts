/** chunker and catar in a browser: bundled, and run where there is nothing but the Web's own globals. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createContext, runInContext } from "node:vm";
import { rolldown } from "rolldown";
import { beforeAll, expect, test } from "vitest";
import { goldenArchive } from "../../../packages/catar/test/golden.ts";
import { settings, streams } from "../../../packages/chunker/test/vectors.ts";
import { checkout } from "./cli.ts";

const program = `
import { CatarDecoder, CatarEncoder } from "@imgtool/catar";
import { blobFlags, chunkDigest, ChunkIndex, Cutter, decodeIndex, digestLength, encodeIndex, parseChunkSizes } from "@imgtool/chunker";
import { checkFeatures, encodeMessage, FrameReader } from "@imgtool/store/protocol";

export function makeIndex(stream, chunkSize) {
  const sizes = parseChunkSizes(chunkSize);
  const cutter = new Cutter(sizes);
  const ends = [];
  const ids = [];
  for (let from = 0; from < stream.length; ) {
    const cut = cutter.next(stream, from);
    const to = cut < 0 ? stream.length : from + cut;
    ends.push(to);
    ids.push(...chunkDigest("sha512-256", stream.subarray(from, to)));
    from = to;
  }
  const bytes = encodeIndex(new ChunkIndex({ flags: blobFlags(), sizes, ends: Float64Array.from(ends), ids: Uint8Array.from(ids) }));
  return { bytes, count: decodeIndex(bytes).count, digestLength };
}

export function copyArchive(archive) {
  const decoder = new CatarDecoder();
  const parts = [];
  let encoder;
  const kinds = [];
  for (const event of decoder.push(archive)) {
    encoder ??= new CatarEncoder(decoder.flags);
    if (event.type === "entry") {
      kinds.push(event.node.content.kind);
      parts.push(encoder.entry(event.depth === 0 ? undefined : event.name, event.node));
    } else if (event.type === "payload") {
      encoder.payload(event.bytes.length);
      parts.push(event.bytes.slice());
    } else if (kinds.pop() === "directory") parts.push(encoder.leave());
  }
  decoder.finish();
  encoder.finish();
  return parts;
}

export function greet(features) {
  checkFeatures(features, 1n);
  return [...new FrameReader().push(encodeMessage({ type: "hello", features }))].map((message) => message.type);
}
`;

interface Bundle {
  makeIndex(stream: Uint8Array, chunkSize: string): { bytes: Uint8Array; count: number };
  copyArchive(archive: Uint8Array): readonly Uint8Array[];
  greet(features: bigint): readonly string[];
}

let code = "";

beforeAll(async () => {
  const entry = join(checkout, "apps/imgtool/test/browser-entry.js");
  const bundle = await rolldown({
    input: entry,
    platform: "browser",
    resolve: { conditionNames: ["@imgtool/source", "browser", "import", "default"] },
    plugins: [
      {
        name: "entry",
        resolveId: (id) => (id === entry ? id : null),
        load: (id) => (id === entry ? program : null),
      },
    ],
  });
  const { output } = await bundle.generate({ format: "iife", name: "bundle" });
  code = output.map((one) => (one.type === "chunk" ? one.code : "")).join("\n");
  await bundle.close();
}, 60_000);

/** Runs the bundle with nothing but JavaScript itself and the Web's text codecs. */
function load(): Bundle {
  const context = createContext({ TextEncoder, TextDecoder });
  return runInContext(`${code}\nbundle`, context) as Bundle;
}

test("nothing of Node.js is in the bundle", () => {
  expect(code).not.toMatch(/["']node:/);
  expect(code).not.toMatch(/\brequire\(/);
  expect(code).not.toMatch(/\bBuffer\./);
});

test("indexes are casync's", () => {
  const vectors = JSON.parse(readFileSync(join(checkout, "packages/chunker/test/vectors.json"), "utf8")) as Readonly<
    Record<string, string>
  >;
  const bundle = load();
  for (const name of ["empty", "tiny", "zeros", "blocks"]) {
    const stream = streams[name]?.() ?? new Uint8Array(0);
    for (const size of settings.slice(0, 8)) {
      const { bytes, count } = bundle.makeIndex(stream, size);
      const key = `${name} ${size}`;
      expect([key, `${count} ${createHash("sha256").update(bytes).digest("hex")}`]).toEqual([key, vectors[key]]);
    }
  }
});

test("archives are read and written as casync does", () => {
  const archive = goldenArchive();
  expect(Buffer.compare(Buffer.concat(load().copyArchive(archive)), archive)).toBe(0);
});

test("so is the remote protocol", () => {
  expect([...load().greet(0x40n)]).toEqual(["hello"]);
});
