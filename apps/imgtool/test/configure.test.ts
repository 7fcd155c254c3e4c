/**
 * Configure scripts: what they get, what they change, and what they must not print.
 */
import { readFileSync, mkdirSync, writeFileSync } from "node:fs";
import { needPrograms, needRoot, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { expect, test, type TestContext } from "vitest";
import { cli, expectError } from "./cli.ts";

function project(context: TestContext): TemporaryFolder {
  needRoot(context);
  needPrograms(context, "bwrap", "python3");
  const folder = temporaryFolder();
  mkdirSync(folder.join("mkosi.skeleton/usr/lib"), { recursive: true });
  writeFileSync(folder.join("mkosi.skeleton/usr/lib/os-release"), "ID=custom\n");
  mkdirSync(folder.join("later/etc"), { recursive: true });
  writeFileSync(folder.join("later/etc/hosts"), "127.0.0.1 localhost\n");
  writeFileSync(
    folder.join("mkosi.conf"),
    "[Distribution]\nDistribution=custom\n[Output]\nFormat=directory\nImageId=before\n[Build]\nEnvironment=MINE=yes\n",
  );
  return folder;
}

function script(folder: TemporaryFolder, text: string): void {
  writeFileSync(folder.join("mkosi.configure"), text, { mode: 0o755 });
}

test("a configure script reads all settings and changes some", { tags: ["system"] }, (context) => {
  using folder = project(context);
  script(
    folder,
    `#!/usr/bin/env python3
import json, os, sys
config = json.load(sys.stdin)
print("reading", config["ImageId"], file=sys.stderr)
assert config["Environment"]["MINE"] == "yes" and os.environ["MINE"] == "yes"
assert os.environ["DISTRIBUTION"] == "custom" and os.environ["ARCHITECTURE"] == config["Architecture"]
assert os.path.exists(os.environ["SRCDIR"] + "/mkosi.conf")
assert not os.path.exists("/root/.ssh") and open("/proc/net/dev").read().count(":") == 1
config["ImageId"] = "after"
config["Output"] = "after"
config["Hostname"] = "machine"
config["Checksum"] = True
config["CompressLevel"] = 5
config["ExtraTrees"].append({"Source": "later", "Target": None})
config["Environment"]["MORE"] = "1"
config["KernelCommandLine"] += ["quiet"]
config["RootPassword"] = ["secret", False]
json.dump(config, sys.stdout, indent=2)
`,
  );
  const built = cli(["build", "-v"], { cwd: folder.path });
  expect(built.exitCode, built.stderr).toBe(0);
  expect(built.stderr).toContain("configure: reading before");
  expect(readFileSync(folder.join("after/etc/hosts"), "utf8")).toBe("127.0.0.1 localhost\n");
  expect(readFileSync(folder.join("after/etc/hostname"), "utf8")).toBe("machine\n");
  expect(readFileSync(folder.join("after/usr/lib/os-release"), "utf8")).toContain('IMAGE_ID="after"');
  // The other verbs look where the build has put it.
  const cleaned = cli(["clean"], { cwd: folder.path });
  expect(cleaned.stderr + cleaned.stdout).toContain("after");
});

test("what a configure script prints is checked as what files say is", { tags: ["system"] }, (context) => {
  using folder = project(context);
  const failure = (text: string): ReturnType<typeof cli> => {
    script(folder, `#!/bin/sh\n${text}\n`);
    return cli(["build"], { cwd: folder.path });
  };
  expectError(failure("echo hello"), 3, "mkosi.configure", "JSON object", "hello");
  const failed = failure("echo why >&2; exit 3");
  expect([failed.exitCode, failed.stderr]).toEqual([7, expect.stringMatching(/mkosi\.configure exited with 3:\nwhy/)]);
  expectError(failure(`echo '{"Pakages": []}'`), 2, "mkosi.configure", "unknown setting Pakages=", "Packages=");
  for (const [text, ...words] of [
    ['{"Bootable": "perhaps"}', "Bootable=", "perhaps"],
    ['{"Packages": "one"}', "Packages=", "list of: packages"],
    ['{"SectorSize": "many"}', "SectorSize=", "many"],
    ['{"Environment": {"A": 1}}', "Environment="],
  ] as const) {
    const { exitCode, stderr } = failure(`echo '${text}'`);
    expect(exitCode, stderr).toBe(2);
    for (const word of ["error: mkosi.configure: ", ...words]) expect(stderr).toContain(word);
  }
});
