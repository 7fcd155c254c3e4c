import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "@imgtool/testkit";
import { NetworkError } from "@imgtool/core";
import { expect, test } from "vitest";
import { compressChunk } from "./codecs.ts";
import { chunkName } from "./digest.ts";
import { FailoverStore, memberRest } from "./failover.ts";
import { openStore, openWriteStore } from "./open.ts";
import type { ReadStore } from "./store.ts";

const plain = Buffer.from("a chunk");
const name = chunkName(plain);

function counting(location: string, answers: () => boolean): { store: ReadStore; asked: () => number } {
  let asked = 0;
  const has = (): Promise<boolean> => {
    asked++;
    if (answers()) return Promise.resolve(true);
    return Promise.reject(new NetworkError(`${location} is down`, { code: "test-down" }));
  };
  return {
    store: { location, has, get: () => Promise.resolve(undefined), close: () => Promise.resolve() },
    asked: () => asked,
  };
}

test("a member that fails rests, and comes back first afterwards", async () => {
  let now = 0;
  let up = false;
  const first = counting("first", () => up);
  const second = counting("second", () => true);
  const members = [first, second].map(({ store }) => ({
    location: store.location,
    open: () => Promise.resolve(store),
  }));
  const group = new FailoverStore(members, () => now);
  for (let i = 0; i < 3; i++) expect(await group.has(name)).toBe(true);
  expect([first.asked(), second.asked()]).toEqual([1, 3]);
  up = true;
  now = memberRest;
  expect(await group.has(name)).toBe(true);
  expect([first.asked(), second.asked()]).toEqual([2, 3]);
});

test("a group fails with its first member's error when all fail, and asks all again", async () => {
  const first = counting("first", () => false);
  const second = counting("second", () => false);
  const members = [first, second].map(({ store }) => ({
    location: store.location,
    open: () => Promise.resolve(store),
  }));
  const group = new FailoverStore(members);
  for (let i = 0; i < 2; i++) await expect(group.has(name)).rejects.toThrow("first is down");
  expect([first.asked(), second.asked()]).toEqual([2, 2]);
});

test("members that cannot be opened are passed over; groups are not written, have no empty member, hide passwords", async () => {
  using folder = temporaryFolder();
  const there = join(folder.path, "there");
  mkdirSync(there);
  const writer = await openWriteStore(there);
  await writer.put(name, compressChunk(plain));
  const group = await openStore(`${folder.path}/gone|${there}`);
  expect(await group.has(name)).toBe(true);
  expect(group.place).toBeUndefined();
  await group.close();
  await expect(openWriteStore("/a|/b")).rejects.toMatchObject({ code: "store-read-only" });
  await expect(openStore("/a||/b")).rejects.toMatchObject({ code: "store-group-invalid" });
  const secret = await openStore("https://user:word@a.example/s?token=word|/b");
  expect(secret.location).toBe("https://a.example/s|/b");
});
