/**
 * ToolsTree=: programs that this machine lacks come from a tree that imgtool builds.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { needPrograms, needRoot, temporaryFolder, tryRun } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { imgtool } from "./cli.ts";

/** A folder of links to this machine's programs but those. */
function programsWithout(folder: string, ...missing: readonly string[]): string {
  mkdirSync(folder);
  for (const name of readdirSync("/usr/bin"))
    if (!missing.includes(name)) symlinkSync(join("/usr/bin", name), join(folder, name));
  return folder;
}

test(
  "a tools tree has what this machine lacks, and makes the same bytes",
  { tags: ["system"], timeout: 600_000 },
  (context) => {
    needRoot(context);
    needPrograms(context, "mksquashfs", "mmdebstrap", "bwrap", "apt-get", "unshare", "mount");
    if (tryRun("apt-cache", ["policy", "squashfs-tools"]).status !== 0) context.skip("needs an archive of packages");
    using folder = temporaryFolder();
    mkdirSync(folder.join("mkosi.skeleton/usr/lib"), { recursive: true });
    writeFileSync(folder.join("mkosi.skeleton/usr/lib/os-release"), "ID=custom\n");
    writeFileSync(folder.join("mkosi.skeleton/usr/lib/text"), "a text that is compressed\n".repeat(10_000));
    // The release that this machine's own mksquashfs is of.
    const release = /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "bookworm";
    const conf = `[Distribution]
Distribution=custom
[Output]
Format=raw_squashfs
[Build]
PackageCacheDirectory=${join(tmpdir(), "imgtool-test-packages")}
ToolsTreeRelease=${release}
`;
    writeFileSync(folder.join("mkosi.conf"), conf);
    const build = (path: string, ...args: readonly string[]): ReturnType<typeof tryRun> =>
      tryRun(imgtool, ["-C", folder.path, "build", "--force", ...args], { env: { PATH: path } });
    const digest = (): string =>
      createHash("sha256")
        .update(readFileSync(folder.join("image.raw")))
        .digest("hex");
    const here = build(process.env["PATH"] ?? "");
    expect(here.status, here.stderr).toBe(0);
    const own = digest();

    const few = programsWithout(folder.join("few"), "mksquashfs");
    const refused = build(few);
    expect([refused.status, refused.stderr]).toEqual([6, expect.stringContaining("mksquashfs is missing")]);
    const lock = tryRun(imgtool, ["-C", folder.path, "lock", "--tools-tree=default"]);
    expect(lock.status, lock.stderr).toBe(0);
    expect(lock.stdout.toString()).toMatch(/0 packages, \d+ of the tools tree/);
    const made = build(few, "--tools-tree=default");
    expect(made.status, made.stderr).toBe(0);
    expect(made.stderr).toContain("building the tools tree of debian");
    expect(digest()).toBe(own);
    // A command with its programs: Debian's own, which this machine lacks.
    const boxed = tryRun(
      imgtool,
      ["-C", folder.path, "box", "--tools-tree=default", "sh", "-c", "mksquashfs -version; exit 5"],
      {
        env: { PATH: few },
      },
    );
    expect([boxed.status, boxed.stdout.toString()], boxed.stderr).toEqual([
      5,
      expect.stringContaining("mksquashfs version"),
    ]);
    // It is there now.
    const again = build(few, "--tools-tree=default");
    expect(again.stderr).not.toContain("building the tools tree");

    // It is made of what was locked, and of nothing else.
    const { images } = JSON.parse(readFileSync(folder.join("imgtool.lock"), "utf8")) as {
      readonly images: Readonly<Record<string, { readonly packages: readonly { name: string; sha256: string }[] }>>;
    };
    const [output = ""] = Object.keys(images);
    const packages = images[output]?.packages ?? [];
    const record = JSON.parse(readFileSync(folder.join(`mkosi.cache/tools/${output}.build.json`), "utf8")) as {
      readonly packages: readonly { name: string; sha256: string }[];
    };
    const digests = (list: typeof packages): string[] => list.map(({ name, sha256 }) => `${name} ${sha256}`).sort();
    expect(digests(record.packages)).toEqual(digests(packages));
    const text = readFileSync(folder.join("imgtool.lock"), "utf8");
    writeFileSync(folder.join("imgtool.lock"), text.replace(packages[0]?.sha256 ?? "", "0".repeat(64)));
    const unsatisfied = build(few, "--tools-tree=default");
    expect([unsatisfied.status, unsatisfied.stderr]).toEqual([
      4,
      expect.stringContaining("the locked packages cannot be had"),
    ]);
    rmSync(folder.join("imgtool.lock"));

    // With a tree that is there, this machine needs neither package manager nor sandbox.
    const tools = folder.join("mkosi.cache/tools");
    const name = readdirSync(tools).find((entry) => existsSync(join(tools, entry, "usr/bin"))) ?? "";
    const least = programsWithout(
      folder.join("least"),
      "mksquashfs",
      "mmdebstrap",
      "bwrap",
      "apt-get",
      "apt-config",
      "apt-cache",
    );
    writeFileSync(
      folder.join("mkosi.conf"),
      conf
        .replace("custom", `debian\nRelease=${release}`)
        .replace("raw_squashfs", "directory\nOutput=system\n[Content]\nPackages=dash"),
    );
    const bootstrapped = build(least, `--tools-tree=${join(tools, name)}`);
    expect(bootstrapped.status, bootstrapped.stderr).toBe(0);
    expect(readFileSync(folder.join("system/var/lib/dpkg/status"), "utf8")).toContain("Package: base-files");
    const missing = build(least, `--tools-tree=${folder.join("few")}`);
    expect([missing.status, missing.stderr]).toEqual([4, expect.stringContaining("has no /usr/bin")]);
  },
);
