import { readFileSync } from "node:fs";
import { needPrograms, run, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import {
  checkFlags,
  defaultArchiveFlags,
  defaultBlobFlags,
  excludeNodump,
  featureNames,
  features,
  featureSets,
  normalizeFlags,
  parseWith,
} from "./index.ts";

test("the defaults are casync's", () => {
  expect(defaultArchiveFlags).toBe(0xb000_0001_ffef_fe26n);
  expect(defaultBlobFlags).toBe(0xb000_0000_0000_0000n);
  expect(parseWith()).toBe(defaultArchiveFlags);
});

test("the features are distinct bits and make up the set all", () => {
  const bits = Object.values(features);
  expect(new Set(bits).size).toBe(33);
  expect(bits.reduce((sum, bit) => sum + bit, 0n)).toBe(featureSets.all);
  expect(featureNames(featureSets.unix)).toEqual([
    "16bit-uids",
    "sec-time",
    "permissions",
    "symlinks",
    "device-nodes",
    "fifos",
    "sockets",
  ]);
});

test("unknown bits, names and forms that are not normal are refused", () => {
  expect(() => normalizeFlags(1n << 40n)).toThrow(expect.objectContaining({ code: "catar-flags-unknown" }));
  expect(() => normalizeFlags(-1n)).toThrow(expect.objectContaining({ code: "catar-flags-unknown" }));
  expect(() => parseWith({ with: ["toString"] })).toThrow(expect.objectContaining({ code: "feature-unknown" }));
  expect(() => checkFlags(excludeNodump | features["flag-nodump"])).toThrow(
    expect.objectContaining({ code: "catar-flags-not-normal" }),
  );
});

// What the user asks for, and the flags that casync 2 writes for it.
const requests: readonly [readonly string[], readonly string[], bigint][] = [
  [["acl"], [], 0xb000_0000_2000_0006n],
  [["acl", "permissions"], [], 0xb000_0000_2000_0006n],
  [["acl", "16bit-uids"], [], 0xb000_0000_2000_0001n],
  [["acl"], ["user-names"], 0xb000_0000_2000_0006n],
  [["read-only"], [], 0xb000_0000_0000_0080n],
  [["subvolume-ro"], [], 0xb000_0000_0c00_0000n],
  [["flag-nodump"], [], 0xb000_0000_0000_0000n],
  [[], ["all"], 0xb000_0000_0000_0000n],
  [["sec-time", "2sec-time"], [], 0xb000_0000_0000_0008n],
  [["unix"], [], 0xb000_0000_0000_1f09n],
  [["all"], [], 0xb000_0001_ffef_fe26n],
  [["best"], ["acl"], 0xb000_0001_dfef_fe26n],
  [[], ["acl"], 0xb000_0001_dfef_ff26n],
  [[], ["acl", "permissions"], 0xb000_0001_dfef_fea6n],
  [[], ["nsec-time"], 0xb000_0001_ffef_fe16n],
  [[], ["32bit-uids"], 0xb000_0001_ffef_fe25n],
  [[], ["privileged"], 0xb000_0000_13ae_bb20n],
  [[], ["best"], 0xb000_0000_0000_0111n],
];

test("--with replaces, --without subtracts, and the result is normalized", () => {
  for (const [names, without, expected] of requests) expect(parseWith({ with: names, without })).toBe(expected);
  expect(parseWith({ with: ["best"], excludeNodump: false })).toBe(0x3000_0001_ffff_fe26n);
  expect(parseWith({ with: ["unix"], excludeSubmounts: true, excludeFile: false, digest: "sha256" })).toBe(
    0xc000_0000_0000_1f09n,
  );
});

test("casync writes the same flags", (context) => {
  needPrograms(context, "casync");
  using folder = temporaryFolder();
  for (const [names, without] of [
    ...requests,
    [["fuse"], ["fat"]] as const,
    [["privileged", "usec-time"], []] as const,
  ]) {
    const options = [...names.map((name) => `--with=${name}`), ...without.map((name) => `--without=${name}`)];
    run("casync", [...options, "make", folder.join("x.catar"), import.meta.dirname]);
    const flags = readFileSync(folder.join("x.catar")).readBigUInt64LE(16);
    expect(parseWith({ with: names, without })).toBe(flags);
    checkFlags(flags);
  }
});
