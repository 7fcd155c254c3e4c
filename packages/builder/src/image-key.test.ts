import { temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { testConfig } from "../test/config.ts";
import { imageKey } from "./image-key.ts";
import { cacheFolder } from "./incremental/tree-cache.ts";
import { type LockedImage, lockedImage, writeLockedImage } from "./lock-file.ts";

test("images of a project with one ImageId= have places of their own in lock and cache, versions of one do not", async () => {
  using folder = temporaryFolder();
  const common = { distribution: "debian", release: "bookworm", imageId: "thing" };
  const images = [
    testConfig(folder.path, common),
    testConfig(folder.path, { ...common, subImage: "a", output: "a" }),
    testConfig(folder.path, { ...common, subImage: "b", output: "b" }),
  ];
  expect(new Set(images.map(cacheFolder)).size).toBe(3);
  for (const config of images) {
    const { distribution, release, architecture } = config;
    const named = { name: imageKey(config), version: "1", architecture: "amd64", sha256: "00".repeat(32), source: "x" };
    const locked = { distribution, release, architecture, packages: [named], build: [], volatile: [], initrd: [] };
    await writeLockedImage(config, locked as unknown as LockedImage);
  }
  for (const config of images) {
    const next = { ...config, imageVersion: "2", output: `${config.output}_2` };
    expect((await lockedImage(next))?.packages.map(({ name }) => name)).toEqual([imageKey(config)]);
    expect(cacheFolder(next)).toBe(cacheFolder(config));
  }
  expect(imageKey(testConfig(folder.path, { imageId: undefined, subImage: "a", output: "a" }))).toBe("a");
});
