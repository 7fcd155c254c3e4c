/**
 * Where times and identifiers come from: the last commit, the newest input, or, with Reproducible=no, the moment.
 */
import { mkdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { needPrograms, needRoot, run, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { cli } from "./cli.ts";

interface Settings {
  readonly SourceDateEpoch: number;
  readonly Seed: string;
}

function project(): TemporaryFolder {
  const folder = temporaryFolder();
  mkdirSync(folder.join("mkosi.skeleton/usr/lib"), { recursive: true });
  writeFileSync(folder.join("mkosi.skeleton/usr/lib/os-release"), "ID=custom\n");
  writeFileSync(folder.join("mkosi.conf"), "[Distribution]\nDistribution=custom\n[Output]\nFormat=tar\n");
  return folder;
}

function settingsOf(folder: TemporaryFolder, ...args: readonly string[]): Settings {
  const { stdout } = cli(["--json", "summary", ...args], { cwd: folder.path });
  return (JSON.parse(stdout) as { readonly Images: readonly [Settings] }).Images[0];
}

test("a clean checkout has the time of its last commit", { tags: ["system"] }, (context) => {
  needPrograms(context, "git");
  using folder = project();
  const git = (...args: readonly string[]): string =>
    run("git", ["-c", "user.name=Test", "-c", "user.email=test@example.org", ...args], {
      cwd: folder.path,
      env: { GIT_COMMITTER_DATE: "1700000000 +0000", GIT_AUTHOR_DATE: "1600000000 +0000" },
    });
  git("init", "--quiet");
  git("add", ".");
  git("commit", "--quiet", "--message=first");
  writeFileSync(folder.join("image.tar"), "");
  expect(settingsOf(folder).SourceDateEpoch).toBe(1_700_000_000);
  // A change that is not committed has a time of its own.
  writeFileSync(folder.join("mkosi.conf"), `${readFileSync(folder.join("mkosi.conf"), "utf8")}ImageId=x\n`);
  utimesSync(folder.join("mkosi.conf"), 1_800_000_000, 1_800_000_000);
  expect(settingsOf(folder).SourceDateEpoch).toBe(1_800_000_000);
  expect(settingsOf(folder, "--source-date-epoch=5").SourceDateEpoch).toBe(5);
});

test("Reproducible=no takes random identifiers and the time of the build", { tags: ["system"] }, (context) => {
  needRoot(context);
  needPrograms(context, "sgdisk");
  using folder = project();
  const [first, second] = [settingsOf(folder), settingsOf(folder)];
  expect(second.Seed).toBe(first.Seed);
  const free = settingsOf(folder, "--reproducible=no");
  expect(free.Seed).not.toBe(settingsOf(folder, "--reproducible=no").Seed);
  expect(Math.abs(free.SourceDateEpoch - Date.now() / 1000)).toBeLessThan(60);
  // What is fixed stays.
  expect(settingsOf(folder, "--reproducible=no", `--seed=${first.Seed}`).Seed).toBe(first.Seed);
  const disk = (...args: readonly string[]): string => {
    const built = cli(["build", "--force", "--format=raw_ext4", ...args], { cwd: folder.path });
    expect(built.exitCode, built.stderr).toBe(0);
    return run("sgdisk", ["--print", folder.join("image.raw")]).match(/Disk identifier.*/)?.[0] ?? "";
  };
  expect(disk()).toBe(disk());
  expect(disk("--reproducible=no")).not.toBe(disk("--reproducible=no"));
});
