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
import { join } from "node:path";
import type { ImageConfig } from "@imgtool/config";
import { silentProgress, type LogLevel } from "@imgtool/core";
import {
  gnuCpio,
  needPrograms,
  needRoot,
  run,
  temporaryFolder,
  type TemporaryFolder,
  mountsBelow,
} from "@imgtool/testkit";
import { expect, test, type TestContext } from "vitest";
import { build, clean, lockPath, readBuildRecord } from "../src/index.ts";
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

test("an image that is not in the lock is not built", async () => {
  using folder = temporaryFolder();
  writeFileSync(lockPath(testConfig(folder.path)), '{"lockVersion":1,"images":{}}');
  const image = testConfig(folder.path, { distribution: "debian", packages: ["less"] });
  await expect(build(image)).rejects.toMatchObject({ code: "lock-stale" });
  // An image without a distribution has nothing to lock.
  await expect(build(testConfig(folder.path))).resolves.toMatchObject({ packages: [] });
});

test("accounts, consoles and the machine's id are what the project says", async (context) => {
  needs(context);
  using folder = project({
    localeMessages: "de_DE.UTF-8",
    keymap: "de",
    machineId: "01234567-89ab-4def-8123-456789abcdef",
    autologin: true,
  });
  const skeleton = folder.join("skeleton");
  writeFileSync(
    join(skeleton, "etc/passwd"),
    "daemon:x:1:1::/:/bin/no\nroot:x:0:0:root:/root:/bin/sh\nuser:x:2:2:::\n",
  );
  writeFileSync(join(skeleton, "usr/bin/shell"), "", { mode: 0o755 });
  symlinkSync("usr/bin", join(skeleton, "bin"));
  mkdirSync(join(skeleton, "etc/default"));
  writeFileSync(join(skeleton, "etc/default/keyboard"), "XKBLAYOUT=us\n");
  symlinkSync("default/keyboard", join(skeleton, "etc/vconsole.conf"));
  const prepare = script(folder, "prepare", 'cat "$BUILDROOT/etc/machine-id" > "$BUILDROOT/etc/seen"');
  await build({ ...folder.config, rootShell: "/bin/shell", prepareScripts: [prepare] });
  const out = (path: string): string => folder.join("out/thing", path);
  const text = (path: string): string => readFileSync(out(path), "utf8");
  for (const path of ["etc/seen", "etc/machine-id"]) expect(text(path)).toBe("0123456789ab4def8123456789abcdef");
  expect(lstatSync(out("etc/machine-id")).mode & 0o777).toBe(0o444);
  // Without Locale=, as systemd-firstboot does it.
  expect(text("etc/locale.conf")).toBe("LC_MESSAGES=de_DE.UTF-8\n");
  expect([text("etc/vconsole.conf"), text("etc/default/keyboard")]).toEqual(["KEYMAP=de\n", "XKBLAYOUT=us\n"]);
  expect(text("etc/passwd")).toBe("daemon:x:1:1::/:/bin/no\nroot:x:0:0:root:/root:/bin/shell\nuser:x:2:2:::\n");
  // The bytes that mkosi 25.3 writes.
  const digests = ["console-getty", "getty@tty1", "serial-getty@hvc0"].map((name) =>
    createHash("sha256")
      .update(text(`usr/lib/systemd/system/${name}.service.d/autologin.conf`))
      .digest("hex"),
  );
  expect(digests).toEqual([
    "de88ee2fe3003e55a11d40f2f7351dbc4391a3d9f38eefd243b1896c1d39bd86",
    "362781563303d2cd6324d6950091ed9c8b490a3ebc52717ed5f8b3e217c9c613",
    "c690f5ac34f9056912cb1185d3aa920d1581edb010a9d1f34b961f0698ec5dc0",
  ]);
  await expect(build({ ...folder.config, rootShell: "/bin/none" }, { force: true })).rejects.toMatchObject({
    code: "root-shell-missing",
  });
});

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
    "SHA256SUMS",
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

const compressions = ["none", "zstd", "xz", "gzip", "bz2", "lz4", "lzma"] as const;

test.for(compressions)("a tar image, compressed with %s, holds the tree", async (compressOutput, context) => {
  needs(context);
  needPrograms(context, "tar", "xz", "zstd", "bzip2", "lz4");
  using folder = project({ format: "tar", compressOutput });
  const { artifacts } = await build(folder.config);
  const path = folder.join("out", artifacts[0]?.path ?? "");
  // tar knows neither of the two by its first bytes.
  const programs: Readonly<Record<string, string>> = { lz4: "lz4", lzma: "xz" };
  const program = programs[compressOutput];
  const by = program === undefined ? ["--auto-compress"] : [`--use-compress-program=${program}`];
  const list = run("tar", ["--list", ...by, "-f", path]);
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

test("lz4 of a cpio image is in the form that the kernel knows, of a tar image in the one that has checksums", async (context) => {
  needs(context);
  needPrograms(context, "lz4", "cpio");
  using folder = project({ format: "cpio", compressOutput: "lz4" });
  const magic = (name: string): string => readFileSync(folder.join("out", name)).toString("hex", 0, 4);
  await build(folder.config);
  // lz4's "Frame format" description: the legacy frame, and the frame.
  expect(magic("thing.cpio.lz4")).toBe("02214c18");
  const listed = run("sh", ["-c", 'lz4 -dc "$0" | cpio -t --quiet', folder.join("out/thing.cpio.lz4")]);
  expect(listed).toContain("etc/machine-id");
  await build({ ...folder.config, format: "tar" }, { force: true });
  expect(magic("thing.tar.lz4")).toBe("04224d18");
});

test("a compression that a layer cannot have is refused before the build", async (context) => {
  needs(context);
  using folder = project({ format: "oci", compressOutput: "xz" });
  await expect(build(folder.config)).rejects.toMatchObject({ code: "compression-unsupported", exitCode: 2 });
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
  expect(await clean(folder.config)).toHaveLength(4);
  expect(readdirSync(folder.join("out"))).toEqual(["thing"]);
  expect(existsSync(folder.join("out/thing/precious"))).toBe(true);
});

test("a failing script leaves no outputs, no workspace and no mounts", async (context) => {
  needs(context);
  using folder = project();
  const config = {
    ...folder.config,
    postInstallationScripts: [script(folder, "postinst", "mount -t tmpfs x /buildroot/tmp; exit 9")],
  };
  await expect(build(config)).rejects.toMatchObject({ code: "script-failed", data: { exitCode: 9 } });
  expect(readdirSync(folder.join("out"))).toEqual([]);
  expect(mountsBelow(folder.path)).toEqual([]);
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
