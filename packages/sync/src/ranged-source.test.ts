import { randomBytes } from "@imgtool/testkit";
import { array, assert, asyncProperty, nat, tuple } from "fast-check";
import { expect, test } from "vitest";
import { RangedSource } from "./ranged-source.ts";

const content = randomBytes(5_000_001, "ranged source");

/** The content, and how it was asked for. */
function source(fails: () => boolean = () => false): { readonly ranged: RangedSource; readonly asked: number[] } {
  const asked: number[] = [];
  const ranged = new RangedSource({
    name: "content",
    size: content.length,
    async read(offset, length) {
      if (offset + length > content.length) throw new RangeError("beyond the end");
      asked.push(length);
      if (fails()) throw new Error("the network fails");
      return content.subarray(offset, offset + length);
    },
  });
  return { ranged, asked };
}

test("whatever is read is what is there", async () => {
  const ranges = array(tuple(nat(content.length), nat(300_000)), { maxLength: 12 });
  await assert(
    asyncProperty(ranges, async (reads) => {
      const { ranged } = source();
      for (const [offset, wanted] of reads) {
        const length = Math.min(wanted, content.length - offset);
        const bytes = await ranged.read(offset, length);
        expect(Buffer.compare(bytes, content.subarray(offset, offset + length))).toBe(0);
        const pieces: Uint8Array[] = [];
        for await (const piece of ranged.stream(offset, offset + length)) pieces.push(piece);
        expect(Buffer.compare(Buffer.concat(pieces), bytes)).toBe(0);
      }
    }),
    { numRuns: 30 },
  );
});

test("reading on takes few requests, a look here and there few bytes, and looking again none", async () => {
  const { ranged, asked } = source();
  for (let at = 0; at < ranged.size;) at += (await ranged.piece(at)).length;
  expect(asked.length).toBeLessThan(10);
  expect(asked.reduce((sum, length) => sum + length)).toBe(content.length);
  await ranged.read(4_000_000, 1000);
  const { ranged: other, asked: looks } = source();
  for (const offset of [3_000_000, 10, 2_000_000, 3_000_500, 10]) await other.read(offset, 100);
  expect(looks).toEqual([65_536, 65_536, 65_536]);
});

test("what has failed is asked for again", async () => {
  let isDown = true;
  const { ranged, asked } = source(() => isDown);
  await expect(ranged.read(0, 10)).rejects.toThrow("the network fails");
  await expect(ranged.read(0, 10)).rejects.toThrow("the network fails");
  isDown = false;
  expect(Buffer.compare(await ranged.read(0, 10), content.subarray(0, 10))).toBe(0);
  expect(asked).toHaveLength(3);
});
