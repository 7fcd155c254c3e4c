/** The chunker in a browser gives casync's indexes. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { bundleForBrowser, traceOfNode } from "@imgtool/testkit/browser";
import { expect, test } from "vitest";
import { settings, streams } from "./vectors.ts";

const program = `
import { blobFlags, chunkDigest, ChunkIndex, Cutter, digestLength, decodeIndex, encodeIndex, parseChunkSizes } from "../src/index.ts";

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
`;

test("indexes made in a browser are casync's", async () => {
  const bundle = await bundleForBrowser(program, import.meta.url);
  expect(traceOfNode(bundle.code)).toEqual([]);
  const { makeIndex } = bundle.load() as {
    makeIndex: (stream: Uint8Array, chunkSize: string) => { bytes: Uint8Array; count: number };
  };
  const vectors = JSON.parse(readFileSync(new URL("vectors.json", import.meta.url), "utf8")) as Readonly<
    Record<string, string>
  >;
  for (const name of ["empty", "tiny", "zeros", "blocks"]) {
    const stream = streams[name]?.() ?? new Uint8Array(0);
    for (const size of settings.slice(0, 8)) {
      const { bytes, count } = makeIndex(stream, size);
      const key = `${name} ${size}`;
      expect([key, `${count} ${createHash("sha256").update(bytes).digest("hex")}`]).toEqual([key, vectors[key]]);
    }
  }
});
