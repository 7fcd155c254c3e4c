/** The archive format in a browser. */
import { bundleForBrowser, traceOfNode } from "@imgtool/testkit/browser";
import { expect, test } from "vitest";
import { goldenArchive } from "./golden.ts";

const program = `
import { CatarDecoder, CatarEncoder } from "../src/index.ts";

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
`;

test("archives are read and written in a browser as casync does", async () => {
  const bundle = await bundleForBrowser(program, import.meta.url);
  expect(traceOfNode(bundle.code)).toEqual([]);
  const { copyArchive } = bundle.load() as { copyArchive: (archive: Uint8Array) => readonly Uint8Array[] };
  const archive = goldenArchive();
  expect(Buffer.compare(Buffer.concat(copyArchive(archive)), archive)).toBe(0);
});
