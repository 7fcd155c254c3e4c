// @module-tag system
/** Pages and scripts that derive from the settings table and the verbs. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needPrograms, run, temporaryFolder, tryRun } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { nextVersion } from "../src/verbs/bump.ts";
import { checkout, cli, expectError } from "./cli.ts";

test("the pages about settings are what the table says", () => {
  for (const [file, args] of [
    ["docs/settings.md", []],
    ["docs/settings.schema.json", ["--json-schema"]],
  ] as const)
    expect(`${file}\n${cli(["documentation", ...args]).stdout}`).toBe(
      `${file}\n${readFileSync(join(checkout, file), "utf8")}`,
    );
});

test("bash completes verbs, options and the values of settings", (context) => {
  needPrograms(context, "bash");
  using folder = temporaryFolder();
  const file = folder.join("completion");
  writeFileSync(file, cli(["completion", "bash"]).stdout);
  const complete = (...words: readonly string[]): string[] => {
    const script = `source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _imgtool; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return run("bash", ["-c", script, file, "imgtool", ...words])
      .trim()
      .split("\n");
  };
  expect(complete("ext")).toEqual(["extract"]);
  expect(complete("build", "--format", "=", "sys")).toEqual(["sysext"]);
  expect(complete("build", "--checks")).toEqual(["--checksum"]);
  expect(complete("make", "--compression", "z")).toEqual(["zstd"]);
});

test("zsh and fish take their scripts, where they are", (context) => {
  using folder = temporaryFolder();
  for (const shell of ["zsh", "fish"]) {
    const script = cli(["completion", shell]).stdout;
    expect(script).toContain("extract");
    writeFileSync(folder.join(shell), script);
  }
  expectError(cli(["completion", "tcsh"]), 2, "tcsh", "bash");
  needPrograms(context, "zsh", "fish");
  for (const shell of ["zsh", "fish"]) expect(tryRun(shell, ["-n", folder.join(shell)])).toMatchObject({ status: 0 });
});

test("versions count up at their last number", () => {
  expect([undefined, "", "1", "1.9", "7~rc1", "20250131.09", "2b", "v99"].map(nextVersion)).toEqual([
    "1",
    "1",
    "2",
    "1.10",
    "7~rc2",
    "20250131.10",
    "3b",
    "v100",
  ]);
  expect(() => nextVersion("next")).toThrow("no number");
});

test("a first project: written, read back, counted up, and never written over", () => {
  using folder = temporaryFolder();
  const cwd = folder.path;
  expect(cli(["init"], { cwd }).exitCode).toBe(0);
  expectError(cli(["init"], { cwd }), 5, "mkosi.conf");
  expect(cli(["cat-config"], { cwd }).stdout).toContain("# mkosi.conf\n");
  const summary = JSON.parse(cli(["summary", "--json"], { cwd }).stdout) as { Images: Record<string, unknown>[] };
  expect(summary.Images[0]).toMatchObject({ Format: "disk", Checksum: true, ImageVersion: "1" });
  expect(cli(["bump"], { cwd })).toMatchObject({ exitCode: 0, stdout: "1 → 2\n" });
  expect(readFileSync(folder.join("mkosi.version"), "utf8")).toBe("2\n");
  expect(cli(["dependencies"], { cwd }).stdout.split("\n")).toContain("mmdebstrap");
});
