import { toHex } from "@imgtool/core";
import { randomBytes } from "@imgtool/testkit";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { IdTable } from "./id-table.ts";

test("ids keep the position of their first addition", () => {
  // few first bytes, so that ids collide in the table
  const id = fc.tuple(fc.nat(3), fc.nat(40)).map(([first, last]) => new Uint8Array(32).fill(first).fill(last, 31));
  fc.assert(
    fc.property(fc.array(id, { maxLength: 200 }), fc.integer({ min: 1, max: 50 }), (ids, capacity) => {
      const table = new IdTable(capacity);
      const model = new Map<string, number>();
      for (const each of ids) {
        const key = toHex(each);
        const known = model.get(key);
        expect(table.find(each)).toBe(known ?? -1);
        expect(table.add(each)).toBe(known ?? model.size);
        if (known === undefined) model.set(key, model.size);
      }
      expect(table.count).toBe(model.size);
      for (const [key, position] of model) expect(toHex(table.id(position))).toBe(key);
    }),
  );
});

test("ids are read at an offset of a longer array", () => {
  const ids = randomBytes(32 * 5000, "many");
  const table = new IdTable(1);
  for (let at = 0; at < ids.length; at += 32) expect(table.add(ids, at)).toBe(at / 32);
  for (let at = 0; at < ids.length; at += 32) expect(table.find(ids, at)).toBe(at / 32);
  expect(table.find(randomBytes(32, "other"))).toBe(-1);
});
