import { ConfigError } from "@imgtool/core";
import { array, assert, double, nat, property, tuple } from "fast-check";
import { expect, test } from "vitest";
import { RateLimit } from "./rate-limit.ts";

test("what comes in is never more than the rate and a tenth of a second", () => {
  const steps = array(tuple(nat(100_000), double({ min: 0, max: 3, noNaN: true })), { minLength: 1, maxLength: 50 });
  assert(
    property(nat(1_000_000), steps, (rate, pieces) => {
      let now = 0;
      const limit = new RateLimit(rate + 1, () => now);
      let taken = 0;
      for (const [bytes, idle] of pieces) {
        // whoever waits as he is told, and now and then longer
        taken += bytes;
        now += limit.take(bytes) + idle * 1000;
        expect(taken).toBeLessThanOrEqual(((now - 0) / 1000 + 0.1) * (rate + 1) * (1 + 1e-9));
      }
    }),
  );
});

test("a bucket fills while nothing is taken, but not beyond a tenth of a second", () => {
  let now = 1000;
  const limit = new RateLimit(1000, () => now);
  expect(limit.take(100)).toBe(0);
  expect(limit.take(50)).toBe(50);
  now += 50;
  expect(limit.take(10)).toBe(10);
  now += 10_000;
  expect(limit.take(100)).toBe(0);
  expect(limit.take(1000)).toBe(1000);
});

test("a limit that lets nothing through is an error", () => {
  for (const rate of [0, -1, NaN]) expect(() => new RateLimit(rate)).toThrow(ConfigError);
});
