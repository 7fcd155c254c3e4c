/** casync's remote protocol in a browser. */
import { bundleForBrowser, traceOfNode } from "@imgtool/testkit/browser";
import { expect, test } from "vitest";

const program = `
import { checkFeatures, encodeMessage, FrameReader } from "@imgtool/store/protocol";

export function greet(features) {
  checkFeatures(features, 1n);
  return [...new FrameReader().push(encodeMessage({ type: "hello", features }))].map((message) => message.type);
}
`;

test("messages are written and read in a browser", async () => {
  const bundle = await bundleForBrowser(program, import.meta.url);
  expect(traceOfNode(bundle.code)).toEqual([]);
  const { greet } = bundle.load() as { greet: (features: bigint) => readonly string[] };
  expect([...greet(0x40n)]).toEqual(["hello"]);
});
