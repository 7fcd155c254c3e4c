/** SHA256SUMS of a folder with the outputs of several images. */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import type { ImageConfig } from "@imgtool/config";
import { needPrograms, needRoot, run, temporaryFolder, tryRun, type TemporaryFolder } from "@imgtool/testkit";
import { makeSigningKey } from "@imgtool/testkit/repositories";
import { expect, test } from "vitest";
import { build, buildImages, clean } from "../src/index.ts";
import { testConfig } from "./config.ts";

function configOf(folder: TemporaryFolder, output: string, changes: Partial<ImageConfig> = {}): ImageConfig {
  mkdirSync(folder.join(`${output}.files`), { recursive: true });
  writeFileSync(folder.join(`${output}.files/file`), `${output}\n`);
  return testConfig(folder.path, {
    output,
    format: "tar",
    extraTrees: [{ source: folder.join(`${output}.files`), target: "/" }],
    ...changes,
  });
}

function listed(folder: TemporaryFolder): string[] {
  const text = readFileSync(folder.join("out/SHA256SUMS"), "utf8");
  for (const line of text.trimEnd().split("\n")) {
    const [digest, name = ""] = line.split(" *");
    const content = readFileSync(folder.join("out", name));
    expect([digest, name]).toEqual([createHash("sha256").update(content).digest("hex"), name]);
  }
  return text
    .trimEnd()
    .split("\n")
    .map((line) => line.slice(66));
}

test("SHA256SUMS lists what the images of a folder list, however many are built at a time", async (context) => {
  needRoot(context);
  using folder = temporaryFolder();
  const names = ["b", "a", "c", "d"];
  const images = names.map((name) => ({ name, config: configOf(folder, name), dependencies: [] }));
  const main = { name: undefined, config: configOf(folder, "main"), dependencies: [] };
  await buildImages([...images, main]);
  expect(listed(folder)).toEqual(["a.tar", "b.tar", "c.tar", "d.tar", "main.tar"]);
  // Builds that know nothing of each other.
  writeFileSync(folder.join("a.files/file"), "changed");
  await Promise.all(images.map(async ({ config }) => await build(config, { force: true })));
  expect(listed(folder)).toEqual(["a.tar", "b.tar", "c.tar", "d.tar", "main.tar"]);

  rmSync(folder.join("out/d.tar"));
  await build(configOf(folder, "b", { checksum: false }), { force: true });
  expect(listed(folder)).toEqual(["a.tar", "c.tar", "main.tar"]);
  await clean(main.config);
  expect(listed(folder)).toEqual(["a.tar", "c.tar"]);
  for (const { config } of images) await clean(config);
  expect(readdirSync(folder.join("out"))).toEqual([]);
});

test("a file that two images have made has the digest of the later", async (context) => {
  needRoot(context);
  using folder = temporaryFolder();
  await build(configOf(folder, "a"));
  const text = readFileSync(folder.join("out/a.SHA256SUMS"), "utf8");
  for (const name of ["0.SHA256SUMS", "z.SHA256SUMS"])
    writeFileSync(folder.join("out", name), text.replace(/^.{64}/, "0".repeat(64)));
  await build(configOf(folder, "a"), { force: true });
  expect(listed(folder)).toEqual(["a.tar"]);
});

test("a SHA256SUMS of the project's own is not touched by builds without checksums", async (context) => {
  needRoot(context);
  using folder = temporaryFolder();
  mkdirSync(folder.join("out"));
  writeFileSync(folder.join("out/SHA256SUMS"), "ours");
  const config = configOf(folder, "a", { checksum: false });
  await build(config);
  await clean(config);
  expect(readFileSync(folder.join("out/SHA256SUMS"), "utf8")).toBe("ours");
});

test("it is signed, anew when it has changed, and no cause to build anew", async (context) => {
  needRoot(context);
  needPrograms(context, "gpg");
  using folder = temporaryFolder();
  const key = makeSigningKey(folder.join("key"));
  const former = process.env["GNUPGHOME"];
  process.env["GNUPGHOME"] = key.home;
  const verify = (): number =>
    tryRun("gpg", ["--verify", "SHA256SUMS.gpg", "SHA256SUMS"], { cwd: folder.join("out") }).status;
  try {
    const keys = { sign: true, openPgpKey: key.name };
    // The outputs are in the project's own folder, which its script sees.
    mkdirSync(folder.join("out"));
    writeFileSync(folder.join("out/finalize"), "#!/bin/sh\n", { mode: 0o755 });
    const a = configOf(folder, "a", {
      ...keys,
      incremental: "yes",
      cacheDirectory: folder.join("cache"),
      directory: folder.join("out"),
      buildSources: [{ source: folder.join("out"), target: "/" }],
      finalizeScripts: [folder.join("out/finalize")],
    });
    await build(a);
    expect([listed(folder), verify()]).toEqual([["a.tar"], 0]);
    const made = statSync(folder.join("out/a.tar")).ino;
    await build(a, { force: true });
    expect(statSync(folder.join("out/a.tar")).ino).toBe(made);
    rmSync(folder.join("out/SHA256SUMS"));
    await build(a, { force: true });
    expect(statSync(folder.join("out/a.tar")).ino).toBe(made);
    expect([listed(folder), verify()]).toEqual([["a.tar"], 0]);
    await build(configOf(folder, "b", keys));
    expect([listed(folder), verify()]).toEqual([["a.tar", "b.tar"], 0]);
    await clean(a);
    expect([listed(folder), verify()]).toEqual([["b.tar"], 0]);
    // A signature of another text is worse than none.
    await build(configOf(folder, "c"));
    expect(listed(folder)).toEqual(["b.tar", "c.tar"]);
    expect(readdirSync(folder.join("out"))).not.toContain("SHA256SUMS.gpg");
  } finally {
    run("gpgconf", ["--kill", "all"]);
    if (former === undefined) delete process.env["GNUPGHOME"];
    else process.env["GNUPGHOME"] = former;
  }
});
