import { mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needPrograms, randomBytes, run, type TemporaryFolder, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { publish, type PublishOptions } from "./publish.ts";

/** An image of 2 MB, of which a version changes some 100 kB, with a root hash and a tree. */
function version(folder: TemporaryFolder, number: number): PublishOptions {
  const image = randomBytes(2_000_000, "image");
  image.set(randomBytes(100_000, `version ${number}`), 700_000);
  const name = `demo_${number}`;
  const path = (suffix: string): string => folder.join(`${name}${suffix}`);
  writeFileSync(path(".raw"), image);
  writeFileSync(path(".roothash"), `${"0".repeat(63)}${number}\n`);
  mkdirSync(path(""), { recursive: true });
  writeFileSync(join(path(""), "file"), image.subarray(0, 500_000));
  for (const part of [join(path(""), "file"), path("")]) utimesSync(part, 1_700_000_000, 1_700_000_000);
  return {
    family: "demo",
    name,
    version: String(number),
    destination: folder.join("www"),
    durable: false,
    artifacts: [
      { path: path(".raw"), name: `${name}.raw`, kind: "blob" },
      { path: path(".roothash"), name: `${name}.roothash`, kind: "file" },
      { path: path(""), name, kind: "tree" },
    ],
  };
}

/** Every file below a folder with its inode and change time: unchanged means nothing was written. */
function state(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      const { ino, size, ctimeMs } = statSync(path);
      return `${path} ${ino} ${size} ${ctimeMs}`;
    })
    .sort();
}

test("a version is stored, listed, and costs nothing to publish again", async () => {
  using folder = temporaryFolder();
  const first = await publish(version(folder, 1));
  expect(first.changed).toBe(true);
  expect(first.artifacts.map(({ file, kind }) => [file, kind])).toEqual([
    ["demo_1.raw.caibx", "blob"],
    ["demo_1.roothash", "file"],
    ["demo_1.caidx", "tree"],
  ]);
  expect(first.artifacts[0]?.update).toBeUndefined();
  const before = state(folder.join("www"));
  const again = await publish(version(folder, 1));
  expect(again.changed).toBe(false);
  expect(again.artifacts[0]).toMatchObject({ newChunks: 0, newBytes: 0, digest: first.artifacts[0]?.digest });
  expect(state(folder.join("www"))).toEqual(before);
});

test("the update from the version before costs what changed", async () => {
  using folder = temporaryFolder();
  await publish(version(folder, 1));
  const second = await publish(version(folder, 2));
  const image = second.artifacts[0];
  expect(image?.update?.from).toBe("demo_1");
  expect(image?.update?.newChunks).toBe(image?.newChunks);
  expect(image?.update?.storedBytes).toBe(image?.newBytes);
  expect(image?.newBytes).toBeGreaterThan(100_000);
  expect(image?.newBytes).toBeLessThan(600_000);
  // Published again, the cost is still that from version 1, not from itself.
  expect((await publish(version(folder, 2))).artifacts[0]?.update).toEqual(image?.update);
  const list = JSON.parse(readFileSync(folder.join("www/demo.versions.json"), "utf8")) as {
    versions: { name: string }[];
  };
  expect(list.versions.map(({ name }) => name)).toEqual(["demo_1", "demo_2"]);
});

const digest = (...args: readonly string[]): string => run("casync", ["digest", ...args]);

test("casync extracts what was published", async (context) => {
  needPrograms(context, "casync");
  using folder = temporaryFolder();
  await publish(version(folder, 1));
  const result = await publish(version(folder, 2));
  run("casync", ["extract", folder.join("www/demo_2.raw.caibx"), folder.join("out.raw")]);
  expect(readFileSync(folder.join("out.raw")).equals(readFileSync(folder.join("demo_2.raw")))).toBe(true);
  run("casync", ["extract", folder.join("www/demo_2.caidx"), folder.join("out")]);
  expect(digest(folder.join("out"))).toBe(digest(folder.join("demo_2")));
  // What the version list says of an index is what casync, too, computes of the file.
  const listed = digest("--what=blob", folder.join("www/demo_2.caidx")).trim();
  expect(listed).toBe(result.artifacts[2]?.digest);
});

test("a missing artifact leaves no version behind, and names lead nowhere else", async () => {
  using folder = temporaryFolder();
  const options = version(folder, 1);
  const missing = {
    ...options,
    artifacts: [...options.artifacts, { path: folder.join("no"), name: "no", kind: "blob" as const }],
  };
  await expect(publish(missing)).rejects.toMatchObject({ exitCode: 4 });
  expect(readdirSync(folder.join("www"))).not.toContain("demo.versions.json");
  expect(readdirSync(folder.join("www")).filter((name) => name.startsWith("."))).toEqual([]);
  await expect(publish({ ...options, family: "../demo" })).rejects.toMatchObject({ code: "name-invalid" });
});
