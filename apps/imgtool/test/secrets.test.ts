// @module-tag system
/** What may be secret in a location (a password, a signed query) is in no message, whatever is wrong with it. */
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { serveDirectory } from "@imgtool/store";
import { randomBytes, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { cli, cliAsync, expectError, imgtool } from "./cli.ts";

/** A server that nobody has, with all that a URL can hold. */
const url = (name: string): string => `http://user:passw0rd@127.0.0.1:1/${name}?signature=s1gned`;
const secret = /passw0rd|s1gned|cGFzc3cwcmQ/;

const runs: readonly (readonly string[])[] = [
  ...["list", "stat", "mtree", "digest", "cat", "verify", "info", "extract", "mount"].map((verb) => [verb, url("x")]),
  ["cat", url("x.caidx")],
  ["cat", url("x.caibx"), "path"],
  ["digest", url("x.caibx"), "path"],
  ["extract", url("x.caibx"), "out", "path"],
  ["verify", url("x"), "."],
  ["diff", url("x"), url("y")],
  ["make", url("x.caibx"), "disk"],
  ["make", url("x.caidx"), "."],
  ["make", url("x.catar"), "."],
  ["make", "ssh://user:passw0rd@127.0.0.1:1/x.caibx", "disk"],
  ["extract", "sftp://user:passw0rd@127.0.0.1:1/x.caibx", "out"],
  ["gc", `--store=${url("s")}|${url("t")}`, "x.caibx"],
  ["cache", `--to=${url("s")}|s.castr`, "x.caibx"],
];

test.for(runs)("%s: no secret is shown", async (args) => {
  using folder = temporaryFolder();
  writeFileSync(folder.join("disk"), randomBytes(1000, "disk"));
  mkdirSync(folder.join("imgtool"));
  writeFileSync(folder.join("imgtool/stores.conf"), "[Store http://127.0.0.1:1/]\nRetries=0\n");
  const env = { XDG_CONFIG_HOME: folder.path };
  // With stacks and causes, and once more as events.
  const runs = await Promise.all(
    ["--debug", "--json"].map((option) => cliAsync([...args, option], { cwd: folder.path, env })),
  );
  for (const run of runs) {
    expect(run.exitCode).not.toBe(0);
    expect(run.stdout + run.stderr).not.toMatch(secret);
    expect(run.stdout + run.stderr).not.toContain("bug in imgtool");
  }
});

test("mkdev calls an image by its file's name", async () => {
  using folder = temporaryFolder();
  writeFileSync(folder.join("disk"), randomBytes(100_000, "disk"));
  expect(cli(["make", "a disk ä.caibx", "disk"], { cwd: folder.path })).toMatchObject({ exitCode: 0 });
  const server = await serveDirectory(folder.path);
  const location = `${server.url.replace("//", "//user:passw0rd@")}a disk ä.caibx?signature=s1gned`;
  const child = spawn(imgtool, ["mkdev", "--port=0", location], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit");
  try {
    const [line] = (await once(child.stdout, "data")) as [Buffer];
    expect(line.toString()).toMatch(/^nbd:\/\/127\.0\.0\.1:\d+\/a%20disk%20%C3%A4\n$/);
  } finally {
    child.kill("SIGTERM");
    await ended;
    await server.close();
  }
});

test("what is at a URL is told by its name, and nothing is made at a web server", async () => {
  expect.hasAssertions();
  using folder = temporaryFolder();
  writeFileSync(folder.join("disk"), randomBytes(1000, "disk"));
  const options = { cwd: folder.path };
  for (const verb of ["list", "stat", "digest"])
    expectError(await cliAsync([verb, url("x")], options), 2, "cannot tell what http://127.0.0.1:1/x is");
  expectError(await cliAsync(["make", url("x.caibx"), "disk"], options), 2, "nothing can be made at http:");
  expectError(await cliAsync(["make", "--store=s", url("x.caibx"), "disk"], options), 2, "nothing can be made");
  expectError(cli(["list", "s"], options), 4, "there is no directory s");
});
