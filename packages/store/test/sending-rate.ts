/**
 * That what a driver sends is limited: so many bytes at such a rate cannot take less than their quotient,
 * without what the limit lets through at once.
 * @module
 */
import { randomBytes } from "@imgtool/testkit";
import { expect } from "vitest";
import { chunkName, compressChunk, RateLimit, type WriteStore } from "../src/index.ts";

const rate = 400_000;
const burst = rate / 10;

/** @param open opens the store under test with the limit */
export async function checkSendingRate(
  open: (rateLimit: RateLimit) => WriteStore | Promise<WriteStore>,
): Promise<void> {
  const chunks = Array.from({ length: 5 }, (_, i) => randomBytes(100_000, `rate ${i}`));
  const store = await open(new RateLimit(rate));
  const started = performance.now();
  // Several at once share the limit.
  await Promise.all(chunks.map((bytes) => store.put(chunkName(bytes), compressChunk(bytes, "none"))));
  await store.flush();
  expect(performance.now() - started).toBeGreaterThan(((500_000 - burst) / rate) * 1000);
  await store.close();
}
