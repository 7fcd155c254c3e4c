import { readdirSync, statSync, writeFileSync } from "node:fs";
import { temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { type PublishedVersion, readVersionList, withVersion, writeVersionList } from "./versions.ts";

const version = (name: string, digest = "aa"): PublishedVersion => ({
  name,
  files: [{ file: `${name}.caibx`, kind: "blob", digest, size: 1 }],
});

test("versions are added in order, and replaced under the same name", async () => {
  using folder = temporaryFolder();
  const path = folder.join("image.versions.json");
  let list = await readVersionList(path, "image");
  expect(list.versions).toEqual([]);
  for (const next of [version("image_1"), version("image_2"), version("image_1", "bb")]) list = withVersion(list, next);
  expect(list.versions.map(({ name, files }) => [name, files[0]?.digest])).toEqual([
    ["image_1", "bb"],
    ["image_2", "aa"],
  ]);
  expect(await writeVersionList(path, list)).toBe(true);
  expect(await readVersionList(path, "image")).toEqual(list);
});

test("an unchanged list is not written again, and nothing temporary stays", async () => {
  using folder = temporaryFolder();
  const path = folder.join("image.versions.json");
  const list = withVersion(await readVersionList(path, "image"), version("image_1"));
  await writeVersionList(path, list);
  const before = statSync(path, { bigint: true });
  expect(await writeVersionList(path, list)).toBe(false);
  expect(statSync(path, { bigint: true }).ino).toBe(before.ino);
  expect(readdirSync(folder.path)).toEqual(["image.versions.json"]);
});

test.each([
  ["no JSON", "{"],
  ["another format", `{"formatVersion":2,"family":"image","versions":[]}`],
  [
    "a name that leads elsewhere",
    `{"formatVersion":1,"family":"image","versions":[{"name":"x","files":[{"file":"../x","kind":"blob","digest":"","size":1}]}]}`,
  ],
])("a list that is %s is refused with its path", async (_what, text) => {
  using folder = temporaryFolder();
  const path = folder.join("image.versions.json");
  writeFileSync(path, text);
  await expect(readVersionList(path, "image")).rejects.toMatchObject({ code: "version-list-invalid", data: { path } });
});
