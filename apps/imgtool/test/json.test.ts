/** `--json`: nothing but one JSON object a line on standard output, for every verb, whatever happens. */
import { mkdirSync, writeFileSync } from "node:fs";
import { randomBytes, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { type CliRun, cli } from "./cli.ts";

const system = { tags: ["system"] };

interface Event {
  readonly type: string;
  readonly exitCode?: number;
}

function events({ stdout, stderr }: CliRun): Event[] {
  expect(stderr).toBe("");
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Event);
}

test("results are events, and nothing goes to standard error", system, () => {
  using folder = temporaryFolder();
  const cwd = folder.path;
  mkdirSync(folder.join("tree"));
  writeFileSync(folder.join("tree/file"), randomBytes(100_000, "json"));
  mkdirSync(folder.join("project"));
  writeFileSync(folder.join("project/mkosi.conf"), "[Distribution]\nDistribution=custom\n");
  const last = (...args: readonly string[]): string | undefined =>
    events(cli([...args, "--json"], { cwd })).at(-1)?.type;
  expect(last("make", "blob.caibx", "tree/file")).toBe("result");
  expect(last("make", "tree.caidx", "tree")).toBe("result");
  expect(last("extract", "blob.caibx", "out")).toBe("result");
  expect(last("extract", "tree.caidx", "copy")).toBe("result");
  expect(last("digest", "tree.caidx")).toBe("result");
  expect(last("list", "tree.caidx")).toBe("node");
  expect(last("mtree", "tree.caidx")).toBe("mtree");
  expect(last("clean", "-C", "project")).toBe("result");
});

test("errors are the last event and carry the exit code, also those of usage", system, () => {
  using folder = temporaryFolder();
  const cwd = folder.path;
  for (const [args, exitCode] of [
    [["frobnicate"], 2],
    [["build", "--bogus"], 2],
    [["make"], 2],
    [["extract", "absent.caibx", "out"], 4],
    [["serve", "absent"], 4],
    [["summary", "-C", "absent"], 2],
  ] as const) {
    const failed = cli([...args, "--json"], { cwd });
    expect(failed.exitCode).toBe(exitCode);
    expect(events(failed).at(-1)).toMatchObject({ type: "error", exitCode });
  }
});

test("a summary shows what only a build refuses, as mkosi's does, and says so", system, () => {
  using folder = temporaryFolder();
  const cwd = folder.path;
  writeFileSync(folder.join("mkosi.conf"), "[Validation]\nSecureBoot=yes\nVerityKeySource=provider:pkcs11\n");
  const run = cli(["--json", "summary"], { cwd });
  expect(run.exitCode).toBe(0);
  expect(JSON.parse(run.stdout)).toMatchObject({ Images: [{ SecureBoot: true }] });
  expect(run.stderr).toContain("warning: mkosi.conf:2: SecureBoot=: yes needs SecureBootKey=; a build ends here");
  expect(run.stderr).toContain("VerityKeySource=: only files are supported; a build ends here");
  const build = cli(["build"], { cwd });
  expect(build.exitCode).toBe(2);
  expect(build.stderr).toMatch(/^error: mkosi.conf:2: SecureBoot=.*\n +mkosi.conf:3: VerityKeySource=/m);
});

test("a summary is one document, as mkosi's is; warnings are beside it", system, () => {
  using folder = temporaryFolder();
  writeFileSync(folder.join("mkosi.conf"), "[Distribution]\nDistribution=custom\n[Content]\nPakages=a\n");
  const { stdout, stderr } = cli(["summary", "--json"], { cwd: folder.path });
  expect(Object.keys(JSON.parse(stdout) as object)).toEqual(["Images"]);
  expect(stderr).toContain("unknown setting Pakages=");
});
