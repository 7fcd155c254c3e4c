import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { ImageConfig } from "@imgtool/config";
import { type Progress, silentProgress } from "@imgtool/core";
import { temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { buildImages, type ProjectImage } from "../src/index.ts";
import { testConfig } from "./config.ts";

interface Project extends TemporaryFolder {
  image(name: string | undefined, dependencies: readonly string[], changes?: Partial<ImageConfig>): ProjectImage;
  output(path: string): string;
}

/** A project whose images each have one file of their own, and begin with what they depend on. */
function project(): Project {
  const folder = temporaryFolder();
  chmodSync(folder.path, 0o755);
  const output = (path: string): string => folder.join("out", path);
  return Object.assign(folder, {
    output,
    image(name: string | undefined, dependencies: readonly string[], changes: Partial<ImageConfig> = {}): ProjectImage {
      const file = name ?? "main";
      mkdirSync(folder.join(`${file}.files`));
      writeFileSync(folder.join(`${file}.files`, file), `${file}\n`);
      const config = testConfig(folder.path, {
        outputDirectory: folder.join("out"),
        output: file,
        format: "directory",
        baseTrees: dependencies.map((one) => output(one)),
        extraTrees: [{ source: folder.join(`${file}.files`), target: "/" }],
        ...changes,
      });
      return { name, config, dependencies };
    },
  });
}

test("images are built after those that they depend on, and begin with them", async () => {
  using folder = project();
  const images = [
    folder.image("base", []),
    folder.image("tools", []),
    folder.image("app", ["base"]),
    folder.image(undefined, ["app", "tools"]),
  ];
  const labels: string[] = [];
  const progress: Progress = {
    ...silentProgress,
    start(options) {
      labels.push(options.label);
      return silentProgress.start(options);
    },
  };
  const record = await buildImages(images, { progress });
  expect(record.output).toBe("main");
  for (const file of ["base", "tools", "app", "main"])
    expect(readFileSync(folder.output(`main/${file}`), "utf8")).toBe(`${file}\n`);
  expect(existsSync(folder.output("app/tools"))).toBe(false);
  // whose steps they are is to be seen
  expect(labels.some((label) => label.startsWith("base: "))).toBe(true);
  expect(labels.some((label) => label.startsWith("main: "))).toBe(false);

  // sub-images that are there are taken as they are, unless all are to be made anew
  writeFileSync(folder.join("base.files/base"), "another\n");
  await expect(buildImages(images)).rejects.toThrow(expect.objectContaining({ code: "output-exists" }));
  await buildImages(images, { force: true });
  expect(readFileSync(folder.output("main/base"), "utf8")).toBe("another\n");
});

test("a sub-image of another configuration is built anew, and what is built upon it", async () => {
  using folder = project();
  const base = folder.image("base", []);
  const app = folder.image("app", ["base"]);
  const other = folder.image("other", []);
  const main = folder.image(undefined, ["app", "other"]);
  await buildImages([base, app, other, main]);
  const told: string[] = [];
  const progress: Progress = { ...silentProgress, log: (_, message) => void told.push(message) };
  rmSync(folder.join("out/main"), { recursive: true });
  rmSync(folder.join("out/main.build.json"));
  writeFileSync(folder.join("base.files/base"), "changed\n");
  const changed = { ...base, config: { ...base.config, hostname: "another" } };
  await buildImages([changed, app, other, main], { progress });
  expect(readFileSync(folder.output("main/base"), "utf8")).toBe("changed\n");
  // Images that do not depend on each other are looked at in any order.
  expect(told.filter((line) => line.startsWith("image ")).sort()).toEqual([
    "image app is built anew: what it is built upon has changed",
    expect.stringMatching(/^image base is built anew: its configuration/),
    "image other is there already; --force builds it anew",
  ]);
});

test("the first failure stops the others, and nothing half-made is left", async () => {
  using folder = project();
  const images = [
    folder.image("broken", [], { extraTrees: [{ source: folder.join("missing"), target: "/" }] }),
    folder.image("app", ["broken"]),
    folder.image(undefined, ["app"]),
  ];
  await expect(buildImages(images)).rejects.toThrow("missing");
  expect(existsSync(folder.output("app"))).toBe(false);
  expect(existsSync(folder.join("out")) ? readdirSync(folder.join("out")) : []).toEqual([]);
  const controller = new AbortController();
  controller.abort();
  await expect(buildImages(images, { signal: controller.signal })).rejects.toThrow(
    expect.objectContaining({ code: "aborted" }),
  );
});
