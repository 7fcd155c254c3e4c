/** History=: verbs that take a built image take the one of the latest build. */
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { needPrograms, needRoot, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { expect, test, type TestContext } from "vitest";
import { cli, expectError } from "./cli.ts";

const kept = ".mkosi-private/history/latest.json";

function project(context: TestContext): TemporaryFolder {
  needRoot(context);
  needPrograms(context, "bwrap");
  const folder = temporaryFolder();
  mkdirSync(folder.join("mkosi.skeleton/usr/lib"), { recursive: true });
  writeFileSync(folder.join("mkosi.skeleton/usr/lib/os-release"), "ID=custom\n");
  writeFileSync(
    folder.join("mkosi.conf"),
    "[Distribution]\nDistribution=custom\n[Output]\nFormat=tar\nOutput=thing\n[Runtime]\nCredentials=secret=word\n",
  );
  return folder;
}

test(
  "the latest build's settings stand for those of the files, until it is built again",
  { tags: ["system"] },
  (context) => {
    using folder = project(context);
    const imgtool = (...args: string[]): ReturnType<typeof cli> => cli(args, { cwd: folder.path });
    mkdirSync(folder.join("elsewhere"));
    const built = imgtool("build", "--history=yes", "-O", "elsewhere", "--root-password=word");
    expect(built.exitCode, built.stderr).toBe(0);
    expect(built.stderr).not.toContain("not supported");
    expect(statSync(folder.join(kept)).mode & 0o777).toBe(0o600);
    expect(readFileSync(folder.join(kept), "utf8")).not.toContain("Credentials");
    // Without it this would look for ./thing, and build that.
    const shell = imgtool("shell");
    expectError(shell, 2, "Format=tar cannot be run");
    expect(existsSync(folder.join("thing.build.json"))).toBe(false);
    const published = imgtool("publish");
    expect(published.exitCode, published.stderr).toBe(0);
    expect(existsSync(folder.join("elsewhere/published"))).toBe(true);
    // What the image was made with cannot change any more; how it is run can.
    const other = imgtool("shell", "--format=directory", "--ram=1G");
    expect(other.stderr).toContain("--format is ignored");
    expect(other.stderr).not.toContain("--ram is ignored");
    writeFileSync(folder.join(kept), "{");
    expectError(imgtool("shell"), 2, "latest.json is not the settings of a build");
    // --force does not look at it, and a build without the setting leaves none of a former one.
    const again = imgtool("shell", "--force", "--output=again");
    expectError(again, 2, "Format=tar cannot be run");
    expect(existsSync(folder.join("again.build.json"))).toBe(true);
    expect(existsSync(folder.join(kept))).toBe(false);
  },
);
