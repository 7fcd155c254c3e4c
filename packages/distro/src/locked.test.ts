import { expect, test } from "vitest";
import { checkLockedFiles, checkLockedTree, lockedNames, lockFiles } from "./locked.ts";

const files = ["bash_5.2.15-2_amd64.deb", "apt_1%3a2.6.1_amd64.deb", "tzdata_2024a_all.deb"].map((file, index) => ({
  uri: `http://mirror.example/debian/pool/main/x/${file}`,
  file,
  size: 1,
  sha256: String(index).repeat(64),
}));
const locked = lockFiles(files);

test("the files of a plan become a lock that they fit", () => {
  expect(locked.map(({ name, version, architecture, path }) => [name, version, architecture, path])).toEqual([
    ["apt", "1:2.6.1", "amd64", "pool/main/x/apt_1:2.6.1_amd64.deb"],
    ["bash", "5.2.15-2", "amd64", "pool/main/x/bash_5.2.15-2_amd64.deb"],
    ["tzdata", "2024a", "all", "pool/main/x/tzdata_2024a_all.deb"],
  ]);
  checkLockedFiles(files, locked);
  checkLockedTree(locked, locked);
  expect(lockedNames(["bash", "?essential", "^libtss2-mu[0-9.-]+$"], locked)).toEqual([
    "apt=1:2.6.1",
    "bash=5.2.15-2",
    "tzdata=2024a",
  ]);
});

test("another digest, another version, or a package too many is said", () => {
  const [first, ...others] = files;
  if (first === undefined) throw new Error("no files");
  const unsatisfied = expect.objectContaining({ code: "lock-unsatisfied", exitCode: 4 }) as Error;
  expect(() => checkLockedFiles([{ ...first, sha256: "f".repeat(64) }, ...others], locked)).toThrow(unsatisfied);
  expect(() => checkLockedFiles(others, locked)).toThrow(/nothing where bash 5\.2\.15-2 amd64/);
  const extra = { name: "nano", version: "7.2-1", architecture: "amd64" };
  expect(() => checkLockedTree([...locked, extra], locked)).toThrow(/nano 7\.2-1 amd64 where nothing is locked/);
  expect(() => lockedNames(["nano"], locked)).toThrow(expect.objectContaining({ code: "lock-stale" }) as Error);
});
