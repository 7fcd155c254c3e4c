// @module-tag system
/** Verbs that read what is published without extracting it. */
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline/promises";
import { needPrograms, randomBytes, run, runAsync, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { cli, expectError, imgtool } from "./cli.ts";

const content = Buffer.from(randomBytes(3_000_001, "a disk"));

/** Two versions of a disk, and a tree, in the default store. */
function publish(): TemporaryFolder {
  const folder = temporaryFolder();
  writeFileSync(folder.join("1.raw"), content);
  const next = Buffer.from(content);
  next.set(randomBytes(100, "a change"), 1_500_000);
  writeFileSync(folder.join("2.raw"), next);
  mkdirSync(folder.join("tree/etc"), { recursive: true });
  writeFileSync(folder.join("tree/etc/hostname"), "device\n");
  writeFileSync(folder.join("tree/large"), content);
  for (const args of [
    ["1.caibx", "1.raw"],
    ["2.caibx", "2.raw"],
    ["tree.caidx", "tree"],
  ])
    expect(cli(["make", "--durable=no", ...args], { cwd: folder.path }).exitCode).toBe(0);
  return folder;
}

test("cat prints a blob, a range of it, and a file of an archive", () => {
  using folder = publish();
  const cat = (...args: readonly string[]): Buffer =>
    Buffer.from(run("sh", ["-c", '"$0" "$@" | base64 -w0', imgtool, "cat", ...args], { cwd: folder.path }), "base64");
  expect(cat("1.caibx").equals(content)).toBe(true);
  expect(cat("--offset=1M", "--length=100K", "1.caibx").equals(content.subarray(2 ** 20, 2 ** 20 + 102_400))).toBe(
    true,
  );
  expect(cat("--offset=2999999", "1.caibx")).toEqual(content.subarray(2_999_999));
  expect(cat("--offset=4M", "1.caibx").length).toBe(0);
  expect(cat("tree.caidx", "etc/hostname").toString()).toBe("device\n");
  expect(cat("--offset=70000", "--length=5", "tree.caidx", "large")).toEqual(content.subarray(70_000, 70_005));
  const { path: cwd } = folder;
  expectError(cli(["cat", "tree.caidx", "etc"], { cwd }), 2, "is no file");
  expectError(cli(["cat", "tree.caidx"], { cwd }), 2, "expected a .caibx");
  expectError(cli(["cat", "tree.caidx", "etc/absent"], { cwd }), 4, "etc/absent");
});

test("info says what indexes share, and cache copies what a store lacks", () => {
  using folder = publish();
  const { path: cwd } = folder;
  const info = JSON.parse(
    cli(["info", "--json", "1.caibx", "2.caibx"], { cwd }).stdout.trim().split("\n").at(-1) ?? "",
  ) as {
    readonly uniqueBytes: number;
    readonly indexes: readonly {
      readonly size: number;
      readonly chunks: number;
      readonly ownBytes: number;
      readonly storedBytes: number;
    }[];
  };
  const [first, second] = info.indexes;
  expect(first).toMatchObject({ size: content.length });
  expect(first?.storedBytes).toBeGreaterThan(content.length);
  expect(second?.ownBytes).toBeLessThan(600_000);
  expect(second?.ownBytes).toBeGreaterThan(0);
  expect(info.uniqueBytes).toBe(content.length + (second?.ownBytes ?? 0));
  expect(cli(["inspect", "tree.caidx"], { cwd }).stdout).toContain("ids by sha512-256");

  const cache = (...args: readonly string[]): unknown =>
    JSON.parse(
      cli(["cache", "--json", "--to=mirror.castr", ...args], { cwd })
        .stdout.trim()
        .split("\n")
        .at(-1) ?? "",
    );
  expect(cache("1.caibx")).toMatchObject({ copied: first?.chunks });
  const rest = cache("1.caibx", "2.caibx") as { readonly copied: number };
  expect(rest.copied).toBeLessThan(8);
  expect(cli(["verify", "--store=mirror.castr", "2.caibx"], { cwd }).exitCode).toBe(0);
  expectError(cli(["cache", "--to=default.castr", "1.caibx"], { cwd }), 2, "are in default.castr already");
});

test("info says what archives, directories and stores consist of", () => {
  using folder = publish();
  const { path: cwd } = folder;
  const info = (...args: readonly string[]): Record<"trees" | "stores", readonly Record<string, unknown>[]> => {
    const shown = cli(["info", "--json", ...args], { cwd });
    expect(shown, shown.stderr).toMatchObject({ exitCode: 0 });
    return JSON.parse(shown.stdout.trim().split("\n").at(-1) ?? "") as ReturnType<typeof info>;
  };
  run(imgtool, ["make", "tree.catar", "tree"], { cwd });
  const tree = { nodes: { file: 2, directory: 2 }, contentBytes: content.length + 7, digest: "sha512-256" };
  const archiveBytes = statSync(folder.join("tree.catar")).size;
  expect(info("tree.catar", "tree")).toMatchObject({ trees: [{ ...tree, archiveBytes }, tree], stores: [] });
  expect(run("sh", ["-c", '"$0" info --json - <tree.catar', imgtool], { cwd })).toContain('"file":2');

  const files = run("find", ["default.castr", "-name", "*.cacnk", "-printf", "%s\n"], { cwd }).trim().split("\n");
  const bytes = files.reduce((sum, size) => sum + Number(size), 0);
  const store = { chunks: files.length, bytes, compressed: files.length, codecs: ["zstd"], unfinished: 0, strays: 0 };
  expect(info("default.castr")).toMatchObject({ trees: [], stores: [store] });
  const { stores } = info("default.castr", "1.caibx");
  expect(stores[0]).toMatchObject({ ...store, namedPlainBytes: content.length, missing: 0 });
  expect(stores[0]?.["named"]).toBeLessThan(files.length);
  writeFileSync(folder.join("default.castr/notes"), "");
  const shown = cli(["info", "default.castr", "2.caibx", "tree.catar"], { cwd }).stdout;
  expect(shown).toMatch(/^tree\.catar: 2 directories, 2 files; /m);
  expect(shown).toMatch(/^default\.castr: \d+ chunks, .* compressed, zstd\)$/m);
  expect(shown).toContain("what does not belong there: 1");

  expectError(cli(["info", "1.raw"], { cwd }), 2, "cannot tell what 1.raw is");
  expectError(cli(["info", "absent"], { cwd }), 4, "there is no absent");
  expectError(cli(["info", "oci://127.0.0.1:1/images"], { cwd }), 2, "cannot say what it holds");
});

test("mkdev serves an image until it is told to end", async (context) => {
  needPrograms(context, "nbdcopy");
  using folder = publish();
  const child = spawn(imgtool, ["mkdev", "--port=0", "1.caibx"], {
    cwd: folder.path,
    stdio: ["ignore", "pipe", "ignore"],
  });
  try {
    const [uri = ""] = await firstLine(child.stdout);
    expect(uri).toMatch(/^nbd:\/\/127\.0\.0\.1:\d+\/1$/);
    await runAsync("nbdcopy", [uri, folder.join("copy")]);
    expect(readFileSync(folder.join("copy")).equals(content)).toBe(true);
  } finally {
    child.kill("SIGINT");
  }
  await new Promise((resolve) => child.once("close", resolve));
  expectError(cli(["mkdev", "1.caibx", "/dev/absent"], { cwd: folder.path }), 2, "/dev/absent");
});

test.for(["--socket", "--port"])("qemu-img reads and converts what mkdev serves with %s", async (option, context) => {
  needPrograms(context, "qemu-img");
  using folder = publish();
  const value = option === "--port" ? "0" : folder.join("a socket");
  const child = spawn(imgtool, ["mkdev", `${option}=${value}`, "1.caibx"], {
    cwd: folder.path,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise((resolve) => child.once("close", resolve));
  try {
    const [uri = ""] = await firstLine(child.stdout);
    expect(uri).toMatch(option === "--port" ? /^nbd:/ : /^nbd\+unix:/);
    const info = JSON.parse(await runAsync("qemu-img", ["info", "--output=json", uri])) as Record<string, unknown>;
    // Whole sectors: those of the last one that the image lacks are zeros.
    expect(info).toMatchObject({ "virtual-size": Math.ceil(content.length / 512) * 512, format: "raw" });
    expect(await runAsync("qemu-img", ["compare", "-f", "raw", "-F", "raw", uri, folder.join("1.raw")])).toContain(
      "Images are identical",
    );
    await expect(
      runAsync("qemu-img", ["compare", "-f", "raw", "-F", "raw", uri, folder.join("2.raw")]),
    ).rejects.toThrow("Content mismatch at offset");
    await runAsync("qemu-img", [
      "convert",
      "-f",
      "raw",
      "-O",
      "qcow2",
      "-W",
      "-m",
      "8",
      uri,
      folder.join("disk.qcow2"),
    ]);
    run("qemu-img", ["check", folder.join("disk.qcow2")]);
    expect(
      run("qemu-img", ["compare", "-f", "qcow2", "-F", "raw", folder.join("disk.qcow2"), folder.join("1.raw")]),
    ).toContain("Images are identical");
    // Nothing can be written to it.
    await expect(
      runAsync("qemu-img", ["convert", "-n", "-f", "raw", "-O", "raw", folder.join("2.raw"), uri]),
    ).rejects.toThrow(/read-only|Permission denied/i);
  } finally {
    child.kill("SIGINT");
    await ended;
  }
});

async function firstLine(stream: NodeJS.ReadableStream): Promise<readonly string[]> {
  for await (const line of createInterface({ input: stream })) return [line];
  return [];
}
