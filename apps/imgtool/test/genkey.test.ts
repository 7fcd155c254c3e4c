/** `imgtool genkey`, and what may go wrong with it. */
import { readFileSync, statSync } from "node:fs";
import { needPrograms, run, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { cli, expectError } from "./cli.ts";

test("a key that only its owner reads, and its certificate; one that is there stays", (context) => {
  needPrograms(context, "openssl");
  using folder = temporaryFolder();
  const cwd = folder.path;
  const made = cli(["genkey", "--genkey-common-name=me", "--genkey-valid-days=10"], { cwd });
  expect(made.exitCode, made.stderr).toBe(0);
  expect(statSync(folder.join("mkosi.key")).mode & 0o777).toBe(0o600);
  expect(run("openssl", ["x509", "-in", folder.join("mkosi.crt"), "-noout", "-subject"])).toMatch(/CN ?= ?me/);
  const key = readFileSync(folder.join("mkosi.key"), "utf8");
  expectError(cli(["genkey"], { cwd }), 5, "mkosi.key");
  expectError(cli(["genkey", "--genkey-valid-days=soon"], { cwd }), 2, "soon");
  expect(readFileSync(folder.join("mkosi.key"), "utf8")).toBe(key);
  expect(cli(["genkey", "-f"], { cwd }).exitCode).toBe(0);
  expect(readFileSync(folder.join("mkosi.key"), "utf8")).not.toBe(key);
});
