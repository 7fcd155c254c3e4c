import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "@imgtool/core";
import { temporaryFolder } from "@imgtool/testkit";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { PartitionDefinition } from "./definitions.ts";
import { makeDisk } from "./make-disk.ts";
import { grain, minimumSize, planDisk, type SizeRequest } from "./plan.ts";

interface Golden {
  readonly definitions: readonly PartitionDefinition[];
  readonly seed: string;
  readonly sectorSize: number;
  readonly size?: number;
  /** What systemd-repart 257 made of it; null where it refused for lack of space. */
  readonly expected: null | {
    readonly size: number;
    readonly diskUuid: string;
    readonly partitions: readonly Readonly<Record<string, unknown>>[];
  };
}

const golden = JSON.parse(
  readFileSync(new URL("../test/repart-257.json", import.meta.url), "utf8"),
) as readonly Golden[];

test.each(golden.map((one, index) => [index, one] as const))(
  "disk %i is laid out as systemd-repart 257 does",
  async (_index, { expected, ...options }) => {
    using folder = temporaryFolder();
    const output = join(folder.path, "disk.raw");
    const made = makeDisk({ ...options, output, tree: folder.path, architecture: "x86-64" });
    const outcome = await made.then(
      (result) => ({
        size: result.size,
        diskUuid: result.diskUuid,
        partitions: result.partitions.map(({ number, typeUuid, uuid, label, flags, offset, size }) => {
          return { number, typeUuid, uuid, label, flags: flags.toString(16).padStart(16, "0"), offset, size };
        }),
      }),
      (error: unknown) => (error instanceof ConfigError ? error.code : error),
    );
    expect(outcome).toEqual(expected ?? "disk-too-small");
  },
);

const request: fc.Arbitrary<SizeRequest> = fc
  .record({
    weight: fc.integer({ min: 0, max: 5000 }),
    paddingWeight: fc.integer({ min: 0, max: 2000 }),
    priority: fc.integer({ min: -2, max: 3 }),
    minimum: fc.integer({ min: 1, max: 20_000 }).map((pages) => pages * grain),
    more: fc.option(fc.integer({ min: 0, max: 20_000 })),
    paddingMinimum: fc.integer({ min: 0, max: 100 }).map((pages) => pages * grain),
  })
  .map(({ more, ...rest }) => ({
    ...rest,
    name: "x",
    maximum: more === null ? Infinity : rest.minimum + more * grain,
    paddingMaximum: Infinity,
  }));

/** What is wrong with the plan of a disk; an empty list when nothing is. */
function faults(requests: readonly SizeRequest[], size: number): string[] {
  let plan;
  try {
    plan = planDisk(requests, size);
  } catch (error) {
    return error instanceof ConfigError && error.code === "disk-too-small" ? [] : [String(error)];
  }
  const found: string[] = [];
  let end = plan.firstUsable;
  for (const [index, { placed, offset, size }] of plan.placements.entries()) {
    const { minimum, maximum, priority } = requests[index] as SizeRequest;
    if (!placed) {
      if (priority <= 0) found.push(`${index}: left out`);
      continue;
    }
    if (offset % grain !== 0 || size % grain !== 0) found.push(`${index}: off the grain`);
    if (offset < end) found.push(`${index}: overlaps`);
    if (size < minimum || size > maximum) found.push(`${index}: ${size} bytes`);
    end = offset + size;
  }
  if (end > size - 16_896) found.push("past the end");
  return found;
}

test("partitions are in order, on the grain, within their limits and within the disk", () => {
  const disks = fc.integer({ min: 1, max: 2 ** 20 }).map((pages) => pages * grain);
  fc.assert(
    fc.property(fc.array(request, { minLength: 1, maxLength: 8 }), disks, (requests, size) => {
      expect(faults(requests, size)).toEqual([]);
    }),
  );
});

test("the least size follows content, format and configuration", () => {
  const none = { sizeMin: undefined, content: undefined, format: undefined, writable: true };
  expect(minimumSize(none)).toBe(10 * 1024 ** 2);
  expect(minimumSize({ ...none, sizeMin: 5000 })).toBe(8192);
  expect(minimumSize({ ...none, format: 32 * 1024 ** 2 })).toBe(32 * 1024 ** 2);
  expect(minimumSize({ ...none, content: 5000, writable: false })).toBe(8192);
  expect(minimumSize({ ...none, content: 5000, sizeMin: 65_536, writable: false })).toBe(65_536);
});
