import { fromHex, toHex } from "@imgtool/core";
import { expect, test } from "vitest";
import { sipHash24 } from "./siphash.ts";

// The reference implementation's 64 vectors: key 00…0f, message 00, 01, … of lengths 0 to 63.
const vectors =
  "310e0edd47db6f72fd67dc93c539f8745a4fa9d909806c0d2d7efbd796666785b7877127e09427cf8da699cd64557618cee3fe586e46c9" +
  "cb37d1018bf50002ab6224939a79f5f593b0e4a90bdf82009ef3b9dd94c5bb5d7aa7ad6b22462fb3f4fbe50e86bc8f1e75903d84c02756" +
  "ea14eef27a8e90ca23f7e545be4961ca29a1db9bc2577fcc2a3f9447be2cf5e99a699cd38d96f0b3c14bbd6179a71dc96dbb98eea21af2" +
  "5cd6bec7673b2eb0cbf2d0883ea3e395675393c8ce5ccd8c030ca894af49f6c650adb8eab8858ade92e1bcf315bb5bb835d817adcf6b07" +
  "63612e2fa5c91da7acaa4dde716595876650a2a628ef495c53a387ad42c341d8fa92d832ce7cf2722f512771e37859f94623f3a7381205" +
  "bb1ab0e012ae97a10fd434e015b4a31508beff4d3181396229f09079024d0cf49ee5d4dcca5c73336a76d8bf9ad0a704536ba93e0e9259" +
  "58fcd6420cada915c29bc8067318952b79f3bc0aa6d4f21df2e41d4535f987577519048f53a910a56cf5dfcd9adbeb75095ccd986cd051" +
  "a9cb9ecba312e696afadfc2ce666c772fe52975a4364ee5a1645b276d592a1b274cb8ebf87870a6f9bb4203de7b381eaecb2a30b22a87f" +
  "9924a43cc1315724bd838d3aafbf8db70b1a2a3265d51aea135079a3231ce660932b2846e4d70666e1915f5cb1eca46cf325965ca16d62" +
  "9f575ff28e60381be5724506eb4c328a95";

test("the reference vectors", () => {
  const key = Uint8Array.from({ length: 16 }, (_, i) => i);
  for (let length = 0; length < 64; length++) {
    const hash = new Uint8Array(8);
    const message = Uint8Array.from({ length: length + 3 }, (_, i) => i - 3).subarray(3);
    new DataView(hash.buffer).setBigUint64(0, sipHash24(key, message), true);
    expect(toHex(hash), `length ${length}`).toBe(vectors.slice(16 * length, 16 * length + 16));
  }
});

test("a key of another length is refused", () => {
  expect(() => sipHash24(fromHex("00"), new Uint8Array(0))).toThrow("expected 16 bytes, found 1");
});
