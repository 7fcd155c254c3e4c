/** Wrong names, paths and bytes: an error that names the place, with a hint; nothing half-written. */
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { spawnSync } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { needPrograms, needRoot, randomBytes, run, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { cli, cliAsync, expectError, imgtool } from "./cli.ts";

const system = { tags: ["system"] };

test("wrong verbs, settings and values name what was meant", system, () => {
  using folder = temporaryFolder();
  const cwd = folder.path;
  expectError(cli(["buidl"], { cwd }), 2, "unknown verb: buidl", "did you mean build?");
  expectError(cli(["build", "-d", "debain"], { cwd }), 2, "Distribution=", "did you mean debian?");
  expectError(cli(["summary", "-C", "absent"], { cwd }), 2, "absent");
  writeFileSync(folder.join("mkosi.conf"), "[Content]\nPakages=nano\n");
  const summary = cli(["summary"], { cwd });
  expect(summary.exitCode).toBe(0);
  expect(summary.stderr).toContain("mkosi.conf:2: unknown setting Pakages=");
  expect(summary.stderr).toContain("did you mean Packages=?");
  expectError(cli(["publish"], { cwd }), 4, "no build record", "imgtool build");
  expectError(cli(["ssh"], { cwd }), 4, "no machine", "imgtool vm");
  expect(readdirSync(cwd)).toEqual(["mkosi.conf"]);
});

test("an argument that is not UTF-8 is refused, and names nothing else", system, () => {
  using folder = temporaryFolder();
  const made = spawnSync("sh", ["-c", `mkdir "$(printf 'caf\\351')" && "$0" make x.caidx caf*`, imgtool], {
    cwd: folder.path,
    encoding: "utf8",
  });
  expectError({ exitCode: made.status ?? 128, stdout: made.stdout, stderr: made.stderr }, 2, "not UTF-8");
  // The character itself is one like any other.
  mkdirSync(folder.join("caf\uFFFD"));
  expect(cli(["make", "x.caidx", "caf\uFFFD"], { cwd: folder.path }).exitCode).toBe(0);
});

test("what an archive cannot hold, and what is none, is named", system, (context) => {
  using folder = temporaryFolder();
  const cwd = folder.path;
  mkdirSync(folder.join("deep", ...Array.from({ length: 70 }, () => "d")), { recursive: true });
  for (const more of [[], ["--cache=c"]])
    expectError(cli(["make", ...more, "x.caidx", "deep"], { cwd }), 2, "d/d/d is too deep", "64");
  needRoot(context);
  mkdirSync(folder.join("owned"));
  writeFileSync(folder.join("owned", "file"), "");
  chownSync(folder.join("owned", "file"), 70_000, 0);
  expectError(cli(["make", "--with=16bit-uids", "x.caidx", "owned"], { cwd }), 2, "file: user id 70000", "32bit-uids");
  writeFileSync(folder.join("x.tar.bz2"), "BZh91AY&SY and more");
  expectError(cli(["make", "x.caidx", "x.tar.bz2"], { cwd }), 2, "x.tar.bz2 is compressed with bzip2", "bzip2 -dc");
  writeFileSync(folder.join("text.catar"), "a text that is longer than a record's head");
  expectError(cli(["list", "text.catar"], { cwd }), 3, "text.catar", "no archive of casync's");
  expectError(cli(["list", "--uid-shift=abc", "owned"], { cwd }), 2, "yes, no or a number");
  expect(existsSync(folder.join("x.caidx"))).toBe(false);
});

test("sources and targets that are not there, or of the wrong kind", system, () => {
  using folder = temporaryFolder();
  const cwd = folder.path;
  writeFileSync(folder.join("file"), randomBytes(300_000, "file"));
  mkdirSync(folder.join("folder"));
  expect(cli(["make", "file.caibx", "file"], { cwd }).exitCode).toBe(0);
  expect(cli(["make", "folder.caidx", "folder"], { cwd }).exitCode).toBe(0);
  const before = readdirSync(cwd).sort();
  expectError(cli(["make", "x.caibx", "absent"], { cwd }), 4, "absent");
  expectError(cli(["make", "x.caidx", "absent"], { cwd }), 4, "absent");
  expectError(cli(["make", "x.caibx", "folder"], { cwd }), 2, "folder", "caidx");
  expectError(cli(["make", "x.unknown", "file"], { cwd }), 2, "x.unknown");
  // A URL that nothing takes is no folder.
  expectError(cli(["make", "--store=s4://x", "x.caibx", "file"], { cwd }), 2, "s4://", "s3://");
  expectError(cli(["cache", "--to=webdav://host/x", "file.caibx"], { cwd }), 2, "webdav://", "https://");
  expectError(cli(["make", "--what=archive-index", "-", "folder"], { cwd }), 2, "standard output");
  expectError(cli(["make", "no/such/x.caibx", "file"], { cwd }), 6, "no/such/x.caibx");
  expectError(cli(["extract", "absent.caibx", "out"], { cwd }), 4, "absent.caibx");
  expectError(cli(["extract", "file.caibx", "folder"], { cwd }), 2, "folder");
  expectError(cli(["extract", "folder.caidx", "file"], { cwd }), 2, "file");
  expectError(cli(["extract", "file.caibx", "no/such/out"], { cwd }), 6, "no/such/out");
  expectError(cli(["extract", "file.caibx"], { cwd }), 2, "path");
  expectError(cli(["extract", "--seed=absent", "file.caibx", "out"], { cwd }), 4, "absent");
  expectError(cli(["extract", "--store=absent.castr", "file.caibx", "out"], { cwd }), 4, "absent.castr");
  expectError(cli(["list", "absent.caidx"], { cwd }), 4, "absent.caidx");
  expectError(cli(["digest", "absent"], { cwd }), 4, "absent");
  expectError(cli(["serve", "absent"], { cwd }), 4, "absent");
  expect(readdirSync(cwd).sort()).toEqual(before);
});

test("indexes, archives and chunks that are cut off, altered or missing, on disk and over HTTP", system, async () => {
  using folder = temporaryFolder();
  const cwd = folder.path;
  mkdirSync(folder.join("tree"));
  writeFileSync(folder.join("tree/file"), randomBytes(2_000_000, "bad-input"));
  expect(cli(["make", "blob.caibx", "tree/file"], { cwd }).exitCode).toBe(0);
  // Now the store holds the blob's chunks alone.
  const chunks = run("find", [folder.join("default.castr"), "-name", "*.cacnk"])
    .trim()
    .split("\n")
    .sort();
  const [chunk = ""] = chunks;
  for (const [target, source] of [
    ["tree.caidx", "tree"],
    ["tree.catar", "tree"],
  ] as const)
    expect(cli(["make", target, source], { cwd }).exitCode).toBe(0);
  for (const name of ["blob.caibx", "tree.caidx", "tree.catar"])
    writeFileSync(folder.join(`cut-${name}`), readFileSync(folder.join(name)).subarray(0, 500));
  copyFileSync(folder.join("tree/file"), folder.join("junk.caibx"));

  await using server = await serveFiles(cwd);
  const before = readdirSync(cwd).sort();
  for (const base of [`${cwd}/`, server.url]) {
    expectError(await cliAsync(["extract", `${base}cut-blob.caibx`, "out"], { cwd }), 3, "cut-blob.caibx", "offset");
    expectError(await cliAsync(["extract", `${base}cut-tree.caidx`, "out"], { cwd }), 3, "cut-tree.caidx", "offset");
    expectError(await cliAsync(["extract", `${base}junk.caibx`, "out"], { cwd }), 3, "junk.caibx", "offset 0");
  }
  expectError(await cliAsync(["list", "cut-tree.catar"], { cwd }), 3, "cut-tree.catar", "offset 500");
  expectError(await cliAsync(["extract", "cut-tree.catar", "out"], { cwd }), 3, "cut-tree.catar", "offset 500");
  expectError(await cliAsync(["extract", `${server.url}absent.caibx`, "out"], { cwd }), 4, "absent.caibx");

  const whole = readFileSync(chunk);
  chmodSync(chunk, 0o644);
  for (const damage of ["altered", "missing"]) {
    if (damage === "missing") rmSync(chunk);
    else
      writeFileSync(
        chunk,
        whole.map((byte, i) => (i === 100 ? byte ^ 1 : byte)),
      );
    for (const base of [`${cwd}/`, server.url]) {
      for (const index of ["blob.caibx", "tree.caidx"]) {
        const failed = await cliAsync(["extract", base + index, "out"], { cwd });
        // The tree's chunks differ from the blob's, but for most of them: the cuts meet again.
        if (index === "tree.caidx" && failed.exitCode === 0) rmSync(folder.join("out"), { recursive: true });
        else expectError(failed, damage === "missing" ? 4 : 3, "chunk");
        // What came before the chunk waits for the next run.
        rmSync(folder.join(".out.partial"), { recursive: true, force: true });
      }
    }
  }
  expect(readdirSync(cwd).sort()).toEqual(before);
});

test("a server that is not there", system, () => {
  using folder = temporaryFolder();
  const cwd = folder.path;
  expectError(cli(["extract", "http://127.0.0.1:1/x.caibx", "out"], { cwd }), 8, "http://127.0.0.1:1/x.caibx");
  expect(readdirSync(cwd)).toEqual([]);
});

test("no space: the error names the output, and nothing half-written stays", system, (context) => {
  needRoot(context);
  needPrograms(context, "mount", "umount");
  using folder = temporaryFolder();
  const cwd = folder.path;
  writeFileSync(folder.join("file"), randomBytes(8_000_000, "space"));
  mkdirSync(folder.join("tree"));
  copyFileSync(folder.join("file"), folder.join("tree/file"));
  expect(cli(["make", "file.caibx", "file"], { cwd }).exitCode).toBe(0);
  expect(cli(["make", "tree.caidx", "tree"], { cwd }).exitCode).toBe(0);
  mkdirSync(folder.join("small"));
  run("mount", ["-t", "tmpfs", "-o", "size=3M", "tmpfs", folder.join("small")]);
  try {
    expectError(cli(["extract", "file.caibx", "small/out"], { cwd }), 6, "small/out", "space");
    expectError(cli(["extract", "tree.caidx", "small/out"], { cwd }), 6, "space");
    expectError(cli(["make", "small/out.catar", "tree"], { cwd }), 6, "space");
    expect(readdirSync(folder.join("small"))).toEqual([]);
    expectError(cli(["make", "--store=small/store", "again.caibx", "file"], { cwd }), 6, "small/store", "space");
    expect(readdirSync(cwd)).not.toContain("again.caibx");
  } finally {
    run("umount", [folder.join("small")]);
  }
});

test("a missing host program names its package, before any work", system, (context) => {
  needRoot(context);
  needPrograms(context, "mmdebstrap", "bwrap");
  using folder = temporaryFolder();
  mkdirSync(folder.join("bin"));
  for (const name of ["sh", "readlink", "dirname"])
    run("ln", ["-s", run("sh", ["-c", `command -v ${name}`]).trim(), folder.join("bin", name)]);
  writeFileSync(folder.join("mkosi.conf"), "[Distribution]\nDistribution=debian\nRelease=bookworm\n");
  const missing = cli(["build"], { cwd: folder.path, env: { PATH: folder.join("bin") } });
  expectError(missing, 6, /the program \S+ is missing/, "apt-get install");
  expect(readdirSync(folder.path).sort()).toEqual(["bin", "mkosi.conf"]);
});

interface FileServer extends AsyncDisposable {
  readonly url: string;
}

async function serveFiles(directory: string): Promise<FileServer> {
  const server = createServer((request, response) => {
    try {
      response.end(readFileSync(join(directory, new URL(request.url ?? "/", "http://x/").pathname)));
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
