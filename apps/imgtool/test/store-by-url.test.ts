// @module-tag system
/** Verbs that are given whole stores by their URLs, or groups of stores. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { randomBytes, run, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { cli, expectError, imgtool } from "./cli.ts";

/** Publishes a file to default.castr. */
function publish(): TemporaryFolder {
  const folder = temporaryFolder();
  writeFileSync(folder.join("image"), randomBytes(1_000_000, "store by URL"));
  run(imgtool, ["make", "--durable=no", folder.join("image.caibx"), folder.join("image")]);
  return folder;
}

test("a store at a URL that can be listed is verified as one here is; others say why not", () => {
  using folder = publish();
  const store = folder.join("default.castr");
  const ssh = folder.join("ssh");
  writeFileSync(ssh, "#!/bin/sh\nexec /usr/lib/openssh/sftp-server\n", { mode: 0o755 });
  const env = { CASYNC_SSH_PATH: ssh };
  const url = `sftp://host${store}`;
  const verified = cli(["verify", url], { env });
  expect(verified, verified.stderr).toMatchObject({ exitCode: 0 });
  expect(verified.stdout).toBe(cli(["verify", store]).stdout.replace(store, url));
  const victim = (readdirSync(store, { recursive: true }) as string[]).find((name) => name.endsWith(".cacnk")) ?? "";
  const bytes = readFileSync(`${store}/${victim}`);
  run("chmod", ["u+w", `${store}/${victim}`]);
  writeFileSync(`${store}/${victim}`, bytes.subarray(0, bytes.length >> 1));
  writeFileSync(`${store}/notes`, "");
  const damaged = cli(["verify", url], { env });
  expect(damaged).toMatchObject({ exitCode: 3 });
  expect(damaged.stdout + damaged.stderr).toContain(victim);
  expect(damaged.stdout + damaged.stderr).toContain("notes does not belong here");
  for (const location of ["oci://host/repository", "host:/default.castr", `${url}|${url}`])
    expectError(cli(["verify", location], { env }), 2, "cannot say what it holds", "verify an index against it");
});

test("an encrypted store at a URL is verified with its key, and not without", () => {
  using folder = publish();
  const cwd = folder.path;
  writeFileSync(folder.join("ssh"), "#!/bin/sh\nexec /usr/lib/openssh/sftp-server\n", { mode: 0o755 });
  const env = { CASYNC_SSH_PATH: folder.join("ssh") };
  for (const key of ["key", "other"]) expect(cli(["genkey", `--store=${key}`], { cwd })).toMatchObject({ exitCode: 0 });
  expect(cli(["make", "--key=key", "--store=sealed", "sealed.caibx", "image"], { cwd })).toMatchObject({ exitCode: 0 });
  const url = `sftp://host${folder.join("sealed")}`;
  const verified = cli(["verify", "--key=key", url], { cwd, env });
  expect(verified).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("no problems") });
  expectError(cli(["verify", url], { cwd, env }), 2, "is encrypted");
  expect(cli(["verify", "--key=other", url], { cwd, env })).toMatchObject({ exitCode: 3 });
});

test("verbs that write to a store refuse a group of them, and say which one to name", () => {
  using folder = publish();
  const cwd = folder.path;
  const group = "--store=default.castr|other.castr";
  mkdirSync(folder.join("tree"));
  for (const args of [
    ["make", group, "x.caibx", "image"],
    ["make", group, "x.caidx", "tree"],
    ["gc", group, "image.caibx"],
    ["cache", "--to=default.castr|other.castr", "image.caibx"],
  ])
    expectError(
      cli(args, { cwd }),
      2,
      "group of stores is only read: default.castr, other.castr",
      "name the one store",
    );
  expect(readdirSync(dirname(folder.join("x.caibx"))).sort()).toEqual([
    "default.castr",
    "image",
    "image.caibx",
    "tree",
  ]);
  // It is read.
  expect(cli(["extract", group, "image.caibx", "out"], { cwd })).toMatchObject({ exitCode: 0 });
});
