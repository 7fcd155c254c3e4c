import { expect, test } from "vitest";
import { JoinedRanges } from "./joined-ranges.ts";

const blob = Uint8Array.from({ length: 100_000 }, (_, i) => i % 251);

function ranges(fail?: unknown): { readonly joined: JoinedRanges; readonly asked: string[] } {
  const asked: string[] = [];
  const joined = new JoinedRanges(async (name, offset, length, signal) => {
    asked.push(`${name} ${offset}+${length}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
    if (signal.aborted) throw signal.reason;
    if (fail !== undefined) throw fail;
    return name === "none" ? undefined : blob.subarray(offset, offset + length);
  });
  return { joined, asked };
}

test("what lies side by side is one request, whatever the order it is asked for in", async () => {
  const { joined, asked } = ranges();
  const wanted = [
    ["a", 300, 100],
    ["a", 100, 200],
    ["b", 400, 10],
    ["a", 50_000, 7],
    ["a", 350, 20],
  ] as const;
  const read = await Promise.all(wanted.map(([name, offset, length]) => joined.read(name, offset, length)));
  for (const [i, [, offset, length]] of wanted.entries())
    expect(Buffer.from(read[i] ?? [])).toEqual(Buffer.from(blob.subarray(offset, offset + length)));
  expect(asked).toEqual(["a 100+300", "a 50000+7", "b 400+10"]);
  expect(await joined.read("none", 0, 5)).toBeUndefined();
});

test("a request is not longer than some megabytes", async () => {
  const { joined, asked } = ranges();
  await Promise.all(Array.from({ length: 9 }, (_, i) => joined.read("a", i * 1024 ** 2, 1024 ** 2)));
  expect(asked).toEqual([
    `a 0+${4 * 1024 ** 2}`,
    `a ${4 * 1024 ** 2}+${4 * 1024 ** 2}`,
    `a ${8 * 1024 ** 2}+${1024 ** 2}`,
  ]);
});

test("one who gives up is let go at once, and the others get theirs; an error is everybody's", async () => {
  const { joined, asked } = ranges();
  const controller = new AbortController();
  const [one, other] = [joined.read("a", 0, 10, controller.signal), joined.read("a", 10, 10)];
  setTimeout(() => controller.abort(), 2);
  await expect(one).rejects.toMatchObject({ code: "aborted" });
  expect((await other)?.length).toBe(10);
  expect(asked).toEqual(["a 0+20"]);
  const failing = ranges(new Error("gone")).joined;
  const results = await Promise.allSettled([failing.read("a", 0, 10), failing.read("a", 10, 10)]);
  expect(results.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
});
