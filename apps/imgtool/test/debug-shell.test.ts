/**
 * `imgtool build --debug-shell`: a shell in the sandbox of a script that has failed.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { needPrograms, needRoot, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { cli, imgtool } from "./cli.ts";

test("a shell opens where a script failed, and the build ends with it", { tags: ["system"] }, (context) => {
  needRoot(context);
  needPrograms(context, "bwrap");
  using folder = temporaryFolder();
  mkdirSync(folder.join("mkosi.skeleton/usr/lib"), { recursive: true });
  writeFileSync(folder.join("mkosi.skeleton/usr/lib/os-release"), "ID=custom\n");
  writeFileSync(folder.join("mkosi.conf"), "[Distribution]\nDistribution=custom\n[Output]\nFormat=directory\n");
  writeFileSync(folder.join("mkosi.postinst"), '#!/bin/sh\necho half > "$BUILDROOT/etc-half"; echo why >&2; exit 5\n', {
    mode: 0o755,
  });
  const failed = cli(["build"], { cwd: folder.path });
  expect(failed.exitCode).toBe(7);
  expect(failed.stderr).toContain("why");
  expect(failed.stderr).toContain("--debug-shell");
  const shell = spawnSync(imgtool, ["build", "--debug-shell"], {
    cwd: folder.path,
    encoding: "utf8",
    timeout: 60_000,
    input: 'cat "$BUILDROOT/etc-half"; pwd; echo "$DISTRIBUTION"; ls /work/postinst; exit 1\n',
  });
  expect(shell.stdout.split("\n").filter((line) => line !== "")).toEqual([
    "half",
    "/work/src",
    "custom",
    "/work/postinst",
  ]);
  expect(shell.status, shell.stderr).toBe(7);
  // Whoever has it needs no hint at it, and other verbs have none.
  expect(shell.stderr).not.toContain("--debug-shell");
  for (const [verb, name] of [
    ["clean", "mkosi.clean"],
    ["build", "mkosi.configure"],
  ] as const) {
    writeFileSync(folder.join(name), "#!/bin/sh\nexit 4\n", { mode: 0o755 });
    const other = cli([verb], { cwd: folder.path });
    rmSync(folder.join(name));
    expect(other.stderr).toContain("exited with 4");
    expect(other.stderr).not.toContain("--debug-shell");
  }
  // It leaves nothing behind either.
  expect(readdirSync(folder.path).sort()).toEqual(["mkosi.conf", "mkosi.postinst", "mkosi.skeleton"]);
});
