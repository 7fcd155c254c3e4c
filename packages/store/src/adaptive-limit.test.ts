import { expect, test } from "vitest";
import { AdaptiveLimit } from "./adaptive-limit.ts";

test("a server that asks for less gets half, once for what was sent together, and more as it answers", () => {
  const limit = new AdaptiveLimit(32);
  const sentTogether = performance.now();
  for (let i = 0; i < 32; i++) limit.slowDown(sentTogether);
  expect(limit.limit).toBe(16);
  for (let i = 0; i < 8; i++) limit.slowDown(performance.now() + i + 1000);
  expect(limit.limit).toBe(1);
  limit.succeeded();
  expect(limit.limit).toBe(2);
  for (let answers = 0; answers < 2 + 3 + 4; answers++) limit.succeeded();
  expect(limit.limit).toBe(5);
  for (let answers = 0; answers < 10_000; answers++) limit.succeeded();
  expect(limit.limit).toBe(32);
});

test("no more are let in than the limit allows, in their order, and those that give up make room", async () => {
  const limit = new AdaptiveLimit(2);
  const entered: number[] = [];
  const enter = async (number: number, signal?: AbortSignal): Promise<void> => {
    await limit.enter(signal);
    entered.push(number);
  };
  const controller = new AbortController();
  await enter(1);
  await enter(2);
  const third = enter(3);
  const gone = enter(4, controller.signal);
  const fifth = enter(5);
  controller.abort();
  await expect(gone).rejects.toMatchObject({ code: "aborted" });
  expect(entered).toEqual([1, 2]);
  limit.slowDown(performance.now());
  limit.leave(); // one is still there, which is as many as there may be
  await Promise.resolve();
  expect(entered).toEqual([1, 2]);
  limit.leave();
  await third;
  expect(entered).toEqual([1, 2, 3]);
  limit.succeeded(); // room for one more
  await fifth;
  expect(entered).toEqual([1, 2, 3, 5]);
  await expect(limit.enter(AbortSignal.abort())).rejects.toMatchObject({ code: "aborted" });
});
