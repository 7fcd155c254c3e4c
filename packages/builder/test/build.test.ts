import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import type { ImageConfig } from "@imgtool/config";
import { silentProgress, type LogLevel } from "@imgtool/core";
import { gnuCpio, needPrograms, needRoot, run, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { expect, test, type TestContext } from "vitest";
import { build, clean, readBuildRecord } from "../src/index.ts";
import { testConfig } from "./config.ts";

interface Project extends TemporaryFolder {
  readonly config: ImageConfig;
}

/** A project with a small tree: no packages, a few of the files that a distribution brings. */
function project(changes: Partial<ImageConfig> = {}): Project {
  const folder = temporaryFolder();
  chmodSync(folder.path, 0o755);
  const skeleton = folder.join("skeleton");
  for (const name of ["usr/lib", "usr/bin", "etc", "var/log", "var/cache/ldconfig", "tmp", "run", "dev", "proc"])
    mkdirSync(`${skeleton}/${name}`, { recursive: true });
  symlinkSync("usr/lib", `${skeleton}/lib`);
  symlinkSync("../usr/lib/os-release", `${skeleton}/etc/os-release`);
  const files = {
    "usr/lib/os-release": 'ID=custom\nIMAGE_VERSION="0"\nNAME="Custom"\n',
    "etc/shadow": "root:*:20000:0:99999:7:::\ndaemon:*:10:0:99999:7:::\nuser::30000::::::\n",
    "etc/passwd-": "backup",
    "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "var/log/install.log": "today",
    "var/log/empty": "",
    "var/cache/ldconfig/aux-cache": "inodes",
    "tmp/left": "over",
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(`${skeleton}/${name}`, text);
  const config = testConfig(folder.path, { skeletonTrees: [{ source: skeleton, target: "/" }], ...changes });
  return Object.assign(folder, { config });
}

function script(folder: TemporaryFolder, name: string, text: string): string {
  const path = folder.join(name);
  writeFileSync(path, `#!/bin/sh\nset -eu\n${text}\n`);
  chmodSync(path, 0o755);
  return path;
}

function needs(context: TestContext): void {
  needRoot(context);
  needPrograms(context, "bwrap");
}

test("a folder image: trees, scripts, settings, clean-up, times, record", async (context) => {
  needs(context);
  using folder = project();
  mkdirSync(folder.join("extra/lib/thing"), { recursive: true });
  mkdirSync(folder.join("extra/etc"));
  writeFileSync(folder.join("extra/lib/thing/program"), "run me", { mode: 0o700 });
  writeFileSync(folder.join("extra/etc/motd"), "hello\n");
  const config: ImageConfig = {
    ...folder.config,
    extraTrees: [{ source: folder.join("extra"), target: "/" }],
    postInstallationScripts: [
      script(folder, "postinst", 'echo "$IMAGE_ID $IMAGE_VERSION $1" > "$BUILDROOT/etc/made"; test -d "$SRCDIR/extra"'),
    ],
    finalizeScripts: [script(folder, "finalize", 'cat "$BUILDROOT/etc/machine-id" > "$BUILDROOT/etc/seen"')],
    removeFiles: ["/usr/lib/os-*.gone", "/etc/mo?d"],
    hostname: "device",
    locale: "C.UTF-8",
    rootPassword: "secret",
    manifestFormat: ["json"],
  };
  const record = await build(config);

  const out = (path: string): string => folder.join("out/thing", path);
  const text = (path: string): string => readFileSync(out(path), "utf8");
  expect(readdirSync(folder.join("out")).sort()).toEqual([
    "thing",
    "thing.SHA256SUMS",
    "thing.build.json",
    "thing.manifest",
  ]);
  expect(text("etc/made")).toBe("thing 1 final\n");
  expect(text("etc/seen")).toBe("uninitialized\n");
  expect(text("etc/hostname")).toBe("device\n");
  expect(text("etc/locale.conf")).toBe("LANG=C.UTF-8\n");
  expect(text("usr/lib/os-release")).toBe('ID=custom\nNAME="Custom"\nIMAGE_ID="thing"\nIMAGE_VERSION="1"\n');
  expect(readlinkSync(out("etc/os-release"))).toBe("../usr/lib/os-release");
  expect(text("etc/shadow")).toMatch(/^root:\$6\$[./\w]{16}\$[./\w]{86}:19675:/);
  expect(text("etc/shadow")).toContain("daemon:*:10:");
  expect(text("etc/shadow")).toContain("user::19675:");
  expect(readlinkSync(out("lib"))).toBe("usr/lib");
  expect(lstatSync(out("usr/lib/thing/program"))).toMatchObject({ mode: 0o100700, uid: 0, gid: 0 });
  for (const gone of ["etc/passwd-", "etc/motd", "var/log/install.log", "var/cache/ldconfig/aux-cache", "tmp/left"])
    expect({ gone, there: existsSync(out(gone)) }).toEqual({ gone, there: false });
  expect(existsSync(out("var/log/empty"))).toBe(true);
  for (const path of ["", "etc", "etc/made", "lib"]) expect(lstatSync(out(path)).mtimeMs).toBe(1_700_000_000_000);

  expect(record).toEqual(await readBuildRecord(folder.join("out/thing.build.json")));
  expect(record.artifacts.map(({ kind, path }) => [kind, path])).toEqual([
    ["directory", "thing"],
    ["manifest", "thing.manifest"],
    ["checksums", "thing.SHA256SUMS"],
  ]);
  expect(Object.keys(record.inputs.files)).toEqual(["finalize", "postinst"]);
  run("sha256sum", ["--check", "--strict", "thing.SHA256SUMS"], { cwd: folder.join("out") });
});

test("two builds have the same bytes, whatever the umask, time zone, language and folder", async (context) => {
  needs(context);
  using first = project({ format: "tar", compressOutput: "zstd" });
  const config: ImageConfig = {
    ...first.config,
    postInstallationScripts: [
      script(first, "postinst", 'mkdir "$BUILDROOT/etc/new"; (umask; echo "$TZ $LC_ALL") > "$BUILDROOT/etc/new/env"'),
    ],
  };
  const one = await build(config);
  const elsewhere: ImageConfig = {
    ...config,
    outputDirectory: first.join("other"),
    workspaceDirectory: first.join("work"),
  };
  const before = { umask: process.umask(0o077), TZ: process.env["TZ"], LANG: process.env["LANG"] };
  try {
    process.env["TZ"] = "Asia/Tokyo";
    process.env["LANG"] = "de_DE.UTF-8";
    const two = await build(elsewhere);
    expect(two).toEqual(one);
  } finally {
    process.umask(before.umask);
    for (const name of ["TZ", "LANG"] as const) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  }
  const name = "thing.tar.zst";
  expect(readFileSync(first.join("other", name)).equals(readFileSync(first.join("out", name)))).toBe(true);
  expect(readFileSync(first.join("other/thing.build.json"), "utf8")).toBe(
    readFileSync(first.join("out/thing.build.json"), "utf8"),
  );
  expect(readdirSync(first.join("work"))).toEqual([]);
});

const compressions = ["none", "zstd", "xz", "gzip"] as const;

test.for(compressions)("a tar image, compressed with %s, holds the tree", async (compressOutput, context) => {
  needs(context);
  needPrograms(context, "tar", "xz", "zstd");
  using folder = project({ format: "tar", compressOutput });
  const { artifacts } = await build(folder.config);
  const list = run("tar", ["--list", "--auto-compress", "-f", folder.join("out", artifacts[0]?.path ?? "")]);
  expect(list.split("\n")).toEqual(expect.arrayContaining(["./", "./etc/machine-id", "./lib", "./usr/lib/os-release"]));
});

test("a cpio image has GNU cpio's bytes, and xz with the one check that the kernel knows", async (context) => {
  needs(context);
  needPrograms(context, "cpio", "xz");
  using folder = project({ format: "cpio" });
  linkSync(folder.join("skeleton/etc/passwd-"), folder.join("skeleton/etc/linked"));
  linkSync(folder.join("skeleton/etc/linked"), folder.join("skeleton/usr/bin/linked"));
  const { artifacts } = await build(folder.config);
  expect(artifacts[0]).toMatchObject({ kind: "cpio", path: "thing.cpio" });
  await build({ ...folder.config, format: "directory" }, { force: true });
  const gnu = gnuCpio(folder.join("out/thing"));
  expect(artifacts[0]?.sha256).toBe(createHash("sha256").update(gnu).digest("hex"));

  await build({ ...folder.config, format: "cpio", compressOutput: "xz" }, { force: true });
  expect(run("xz", ["--list", "--robot", folder.join("out/thing.cpio.xz")])).toMatch(/^file\t.*\tCRC32\t/m);
  const listed = run("sh", ["-c", 'xz -dc "$0" | cpio -t --quiet', folder.join("out/thing.cpio.xz")]);
  expect(listed.split("\n")).toEqual(expect.arrayContaining(["etc/machine-id", "lib", "usr/lib/os-release"]));
});

test("what cpio cannot hold is said", async (context) => {
  needs(context);
  needPrograms(context, "setcap");
  using folder = project({ format: "cpio" });
  writeFileSync(folder.join("skeleton/usr/bin/ping"), "");
  run("setcap", ["cap_net_raw+ep", folder.join("skeleton/usr/bin/ping")]);
  const messages: string[] = [];
  const progress = { ...silentProgress, log: (_level: LogLevel, message: string) => void messages.push(message) };
  await build(folder.config, { progress });
  expect(messages).toContain("1 files lose capabilities or access lists, which cpio cannot hold: /usr/bin/ping");
});

test("outputs in the way are named, and replaced only by force", async (context) => {
  needs(context);
  using folder = project();
  await build(folder.config);
  const before = lstatSync(folder.join("out/thing")).ino;
  await expect(build(folder.config)).rejects.toMatchObject({
    name: "ExistsError",
    code: "output-exists",
    message: `the output ${folder.join("out/thing")} exists already`,
    hint: expect.stringContaining("-f") as unknown,
  });
  await build(folder.config, { force: true });
  expect(lstatSync(folder.join("out/thing")).ino).not.toBe(before);
  // Another format: what only the former build made goes.
  await build({ ...folder.config, format: "tar", checksum: false }, { force: true });
  expect(readdirSync(folder.join("out")).sort()).toEqual(["thing.build.json", "thing.tar"]);
});

test("a folder that no build made is never replaced or removed", async (context) => {
  needs(context);
  using folder = project();
  mkdirSync(folder.join("out/thing"), { recursive: true });
  writeFileSync(folder.join("out/thing/precious"), "");
  await expect(build(folder.config, { force: true })).rejects.toMatchObject({ code: "folder-in-the-way" });
  await build({ ...folder.config, format: "tar" }, { force: true });
  expect(await clean(folder.config)).toHaveLength(3);
  expect(readdirSync(folder.join("out"))).toEqual(["thing"]);
  expect(existsSync(folder.join("out/thing/precious"))).toBe(true);
});

test("a failing script leaves no outputs, no workspace and no mounts", async (context) => {
  needs(context);
  using folder = project();
  const mounts = readFileSync("/proc/self/mountinfo", "utf8");
  const config = {
    ...folder.config,
    postInstallationScripts: [script(folder, "postinst", "mount -t tmpfs x /buildroot/tmp; exit 9")],
  };
  await expect(build(config)).rejects.toMatchObject({ code: "script-failed", data: { exitCode: 9 } });
  expect(readdirSync(folder.join("out"))).toEqual([]);
  expect(readFileSync("/proc/self/mountinfo", "utf8")).toBe(mounts);
});

test("an abort leaves the former outputs as they were", async (context) => {
  needs(context);
  using folder = project();
  await build(folder.config);
  const before = readFileSync(folder.join("out/thing.build.json"), "utf8");
  const controller = new AbortController();
  const config = {
    ...folder.config,
    imageVersion: "2",
    finalizeScripts: [script(folder, "finalize", "touch /work/out/begun; sleep 60")],
  };
  const running = build(config, { force: true, signal: controller.signal });
  setTimeout(() => controller.abort(), 300);
  await expect(running).rejects.toMatchObject({ name: "AbortedError" });
  expect(readFileSync(folder.join("out/thing.build.json"), "utf8")).toBe(before);
  expect(readdirSync(folder.join("out")).sort()).toEqual(["thing", "thing.SHA256SUMS", "thing.build.json"]);
});

test("what is missing is said before anything is done", async (context) => {
  needs(context);
  using folder = project();
  writeFileSync(folder.join("plain"), "#!/bin/sh\n");
  const rejects = async (changes: Partial<ImageConfig>, code: string): Promise<void> => {
    await expect(build({ ...folder.config, ...changes })).rejects.toMatchObject({ code });
    expect(existsSync(folder.join("out"))).toBe(false);
  };
  await rejects({ extraTrees: [{ source: folder.join("none"), target: "/" }] }, "tree-not-found");
  await rejects({ finalizeScripts: [folder.join("plain")] }, "script-not-executable");
  await rejects({ finalizeScripts: [folder.join("none")] }, "script-not-found");
  await rejects({ distribution: "plan9" }, "distribution-unknown");
});

test("clean removes outputs and the workspaces of killed builds, and nothing else", async (context) => {
  needs(context);
  using folder = project();
  await build(folder.config);
  writeFileSync(folder.join("out/notes"), "");
  mkdirSync(folder.join("out/.thing.build-999999999-abcdef"));
  mkdirSync(folder.join(`out/.thing.build-${process.pid}-abcdef`));
  const removed = await clean(folder.config);
  expect(removed.map((path) => path.slice(folder.join("out").length + 1)).sort()).toEqual([
    ".thing.build-999999999-abcdef",
    "thing",
    "thing.SHA256SUMS",
    "thing.build.json",
  ]);
  expect(readdirSync(folder.join("out")).sort()).toEqual([`.thing.build-${process.pid}-abcdef`, "notes"]);
});

test("times before the epoch stay", async (context) => {
  needs(context);
  using folder = project();
  utimesSync(folder.join("skeleton/usr/lib/os-release"), 1000, 1000);
  await build({ ...folder.config, imageId: undefined, imageVersion: undefined });
  expect(lstatSync(folder.join("out/thing/usr/lib/os-release")).mtimeMs).toBe(1_000_000);
});
