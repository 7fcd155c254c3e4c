import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { ImageConfig } from "@imgtool/config";
import { needPrograms, needRoot, run, runningProcesses, temporaryFolder, tryRun, mountsBelow } from "@imgtool/testkit";
import { expect, test, type TestContext } from "vitest";
import { build, checkLockable, lock, lockPath } from "../src/index.ts";
import { testConfig } from "./config.ts";

// Packages are fetched once for all tests, and for all runs on a machine.
const packageCacheDirectory = join(tmpdir(), "imgtool-test-packages");

function debian(directory: string, changes: Partial<ImageConfig> = {}): ImageConfig {
  chmodSync(directory, 0o755);
  return testConfig(directory, {
    distribution: "debian",
    release: "bookworm",
    packages: ["systemd-sysv", "dbus"],
    withDocs: false,
    packageCacheDirectory,
    ...changes,
  });
}

function needs(context: TestContext): void {
  needRoot(context);
  needPrograms(context, "mmdebstrap", "bwrap", "apt-get");
  // Without an archive there is nothing to test here; that it is reported well is tested elsewhere.
  if (tryRun("apt-cache", ["policy", "systemd-sysv"]).status !== 0) context.skip("needs an archive of packages");
}

function sha256(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

test(
  "one Debian tree in every format; built twice, the bytes are the same",
  { tags: ["system", "distribution"] },
  async (context) => {
    needs(context);
    needPrograms(context, "casync", "sgdisk", "mksquashfs", "mkfs.erofs", "veritysetup", "e2fsck", "tar");
    using folder = temporaryFolder();
    writeFileSync(
      folder.join("postinst"),
      '#!/bin/sh\nmkosi-chroot systemctl --version | head -1 > "$BUILDROOT/etc/systemd-version"\n',
    );
    chmodSync(folder.join("postinst"), 0o755);
    const extra = folder.join("extra");
    for (const [path, text] of [
      ["usr/lib/sysusers.d/thing.conf", 'u thing - "A thing" /var/lib/thing\n'],
      ["usr/lib/tmpfiles.d/thing.conf", "d /var/lib/thing 0750 thing thing\n"],
      ["usr/lib/systemd/system/thing.service", "[Service]\nExecStart=true\n[Install]\nWantedBy=multi-user.target\n"],
      ["usr/lib/systemd/system-preset/00-thing.preset", "enable thing.service\ndisable remote-fs.target\n"],
    ] as const) {
      mkdirSync(join(extra, dirname(path)), { recursive: true });
      writeFileSync(join(extra, path), text);
    }
    const config = debian(folder.path, {
      postInstallationScripts: [folder.join("postinst")],
      extraTrees: [{ source: extra, target: "/" }],
      manifestFormat: ["json"],
    });

    const first = await build(config);
    const names = first.packages.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(["base-files", "dbus", "systemd", "usr-is-merged"]));
    expect(names).not.toContain("usrmerge");
    const tree = folder.join("out/thing");
    expect(readFileSync(`${tree}/etc/systemd-version`, "utf8")).toMatch(/^systemd \d+/);
    expect(run("dpkg", [`--root=${tree}`, "--audit"])).toBe("");
    expect(run("dpkg-query", [`--root=${tree}`, "-W", "-f", "x"]).length).toBe(names.length);
    const digest = run("casync", ["digest", tree]);
    // What files of the project declare is there.
    const [, , uid, gid] = /^thing:.*$/m.exec(readFileSync(`${tree}/etc/passwd`, "utf8"))?.[0].split(":") ?? [];
    const { uid: owner, gid: group, mode } = statSync(`${tree}/var/lib/thing`);
    expect([String(owner), String(group), mode & 0o7777]).toEqual([uid, gid, 0o750]);
    const enabled = readdirSync(`${tree}/etc/systemd/system/multi-user.target.wants`);
    expect(enabled).toContain("thing.service");
    expect(enabled).not.toContain("remote-fs.target");

    // The second build of the tree works elsewhere, with another umask, time zone and language.
    const before = process.umask(0o077);
    const again = temporaryFolder();
    try {
      process.env["TZ"] = "Asia/Tokyo";
      const second = await build({ ...config, outputDirectory: again.join("out") });
      expect(second).toEqual(first);
      expect(run("casync", ["digest", again.join("out/thing")])).toBe(digest);
    } finally {
      process.umask(before);
      delete process.env["TZ"];
      again[Symbol.dispose]();
    }

    // All other formats of the same tree, without installing it again.
    const pack = async (name: string, changes: Partial<ImageConfig>): Promise<string[]> => {
      const digests: string[] = [];
      for (const part of ["a", "b"]) {
        const outputDirectory = folder.join(`${name}-${part}`);
        const custom: Partial<ImageConfig> = { distribution: "custom", packages: [], postInstallationScripts: [] };
        const { artifacts } = await build({
          ...config,
          ...custom,
          outputDirectory,
          skeletonTrees: [{ source: tree, target: "/" }],
          ...changes,
        });
        digests.push(sha256(join(outputDirectory, artifacts[0]?.path ?? "")));
        expect(artifacts[0]?.sha256).toBe(digests.at(-1));
      }
      return digests;
    };
    const tar = await pack("tar", { format: "tar", compressOutput: "zstd" });
    expect(tar[0]).toBe(tar[1]);
    const cpio = await pack("cpio", { format: "cpio" });
    expect(cpio[0]).toBe(cpio[1]);
    for (const rootFilesystem of ["ext4", "btrfs", "xfs", "squashfs", "erofs"] as const) {
      const disks = await pack(rootFilesystem, { format: "disk", rootFilesystem, verity: "hash" });
      expect(disks[0]).toBe(disks[1]);
      const disk = folder.join(`${rootFilesystem}-a/thing.raw`);
      expect(run("sgdisk", ["--verify", disk])).toContain("No problems found");
    }
    run("sha256sum", ["--check", "--strict", "thing.SHA256SUMS"], { cwd: folder.join("erofs-a") });
  },
);

test("a second build downloads nothing that the first did", { tags: ["system", "distribution"] }, async (context) => {
  needs(context);
  using folder = temporaryFolder();
  const cache = folder.join("cache");
  const labels: string[] = [];
  const progress = {
    start({ label }: { label: string }) {
      labels.push(label);
      return { advance() {}, setTotal() {}, detail() {}, done() {}, [Symbol.dispose]() {} };
    },
    log() {},
  };
  const config = debian(folder.path, { packages: [], packageCacheDirectory: cache, format: "none" });
  await build(config, { progress });
  expect(labels).toContain("download packages");
  const debs = readdirSync(join(cache, "apt/debian/archives"));
  expect(debs.length).toBeGreaterThan(40);
  expect(debs.every((name) => name.endsWith(".deb"))).toBe(true);
  // A damaged file is fetched again.
  const victim = join(cache, "apt/debian/archives", debs[0] ?? "");
  const whole = sha256(victim);
  const bytes = readFileSync(victim);
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
  writeFileSync(victim, bytes);
  const details: unknown[] = [];
  // Only what is fetched counts: what comes behind it would be the first build's again.
  const fetched = new AbortController();
  const again = build(config, {
    force: true,
    signal: fetched.signal,
    progress: {
      ...progress,
      start(options) {
        if (details.length > 0) fetched.abort();
        if (options.label === "download packages") details.push(options.total);
        return progress.start(options);
      },
    },
  });
  await expect(again).rejects.toMatchObject({ name: "AbortedError" });
  expect(details).toEqual([bytes.length]);
  expect(sha256(victim)).toBe(whole);
});

test("an abort amid the installation leaves nothing", { tags: ["system", "distribution"] }, async (context) => {
  needs(context);
  using folder = temporaryFolder();
  const controller = new AbortController();
  const task = { advance() {}, setTotal() {}, done() {}, [Symbol.dispose]() {} };
  const progress = {
    start: () => ({ ...task, detail: (text: string) => void (text.startsWith("set up") && controller.abort()) }),
    log() {},
  };
  const started = build(debian(folder.path), { progress, signal: controller.signal });
  await expect(started).rejects.toMatchObject({ name: "AbortedError" });
  expect(readdirSync(folder.join("out"))).toEqual([]);
  expect(mountsBelow(folder.path)).toEqual([]);
  expect(runningProcesses(folder.path)).toEqual([]);
});

test("what goes wrong with packages is said in a sentence", { tags: ["system", "distribution"] }, async (context) => {
  needs(context);
  using folder = temporaryFolder();
  const rejects = async (changes: Partial<ImageConfig>, expected: object): Promise<void> => {
    await expect(build(debian(folder.path, changes))).rejects.toMatchObject(expected);
    expect(readdirSync(folder.join("out"))).toEqual([]);
  };
  await rejects(
    { packages: ["systemd-sysvv"] },
    {
      name: "NotFoundError",
      code: "package-not-found",
      message: 'debian bookworm has no package "systemd-sysvv"',
      hint: expect.stringContaining("systemd-sysv") as unknown,
    },
  );
  await rejects({ packages: ["dbus=0"] }, { name: "NotFoundError", code: "package-version-not-found" });
  await rejects({ release: "bookwurm" }, { name: "NotFoundError", code: "release-not-found" });
  await rejects(
    { mirror: "http://127.0.0.1:9/debian" },
    { name: "NetworkError", code: "mirror-unreachable", data: { mirror: "http://127.0.0.1:9/debian" } },
  );
});

/** Fails unless it sees the packages of the build, and not those that come after it. */
const greet = `#!/bin/sh -e
[ ! -e "$BUILDROOT/usr/bin/less" ]
mkdir -p "$DESTDIR/etc" "$DESTDIR/usr/bin"
mkosi-chroot bc --version | head -1 > "$DESTDIR/etc/built-with"
echo ours > "$DESTDIR/usr/bin/lesskey"
`;

test(
  "packages are for the image, its build or after it; removed ones are gone, and the metadata",
  { tags: ["system", "distribution"] },
  async (context) => {
    needs(context);
    using folder = temporaryFolder();
    writeFileSync(folder.join("greet"), greet, { mode: 0o755 });
    const record = await build(
      debian(folder.path, {
        packages: ["hello", "nano"],
        buildPackages: ["bc"],
        volatilePackages: ["less"],
        buildScripts: [folder.join("greet")],
        removePackages: ["nano"],
        cleanPackageMetadata: true,
      }),
    );
    expect(readFileSync(folder.join("out/thing/etc/built-with"), "utf8")).toMatch(/^bc /);
    // What is built replaces a file of a package.
    expect(readFileSync(folder.join("out/thing/usr/bin/lesskey"), "utf8")).toBe("ours\n");
    expect(record.packages.find(({ name }) => name === "less")?.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(record.packages.find(({ name }) => name === "hello")?.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(record.packages.map(({ name }) => name)).not.toContain("bc");
    expect(readdirSync(folder.join("out/thing/usr/bin"))).not.toContain("bc");
    expect(readdirSync(folder.join("out/thing/usr/share/doc/less"))).toEqual(["copyright"]);
    const names = record.packages.map(({ name }) => name);
    expect(names).toContain("hello");
    expect(names).not.toContain("nano");
    expect(statSync(folder.join("out/thing/usr/bin/hello")).isFile()).toBe(true);
    expect(readdirSync(folder.join("out/thing/var/lib"))).not.toContain("dpkg");
  },
);

test(
  "a lock holds an image to its packages, and says what cannot be had",
  { tags: ["system", "distribution"] },
  async (context) => {
    needs(context);
    using folder = temporaryFolder();
    const config = debian(folder.path, { packages: ["less"], bootable: "disabled" });
    const locked = await lock(config);
    expect(locked.packages.map(({ name }) => name)).toEqual(expect.arrayContaining(["base-files", "dpkg", "less"]));
    const record = await build(config);
    expect(
      record.packages.map(({ name, version, architecture, sha256 }) => [name, version, architecture, sha256]),
    ).toEqual(locked.packages.map(({ name, version, architecture, sha256 }) => [name, version, architecture, sha256]));
    await expect(build({ ...config, packages: ["less", "nano"] }, { force: true })).rejects.toMatchObject({
      code: "lock-stale",
    });
    const text = readFileSync(lockPath(config), "utf8");
    const digest = locked.packages.find(({ name }) => name === "less")?.sha256 ?? "";
    writeFileSync(lockPath(config), text.replace(digest, "0".repeat(64)));
    await expect(build(config, { force: true })).rejects.toMatchObject({ code: "lock-unsatisfied" });
    writeFileSync(lockPath(config), "[]");
    await expect(build(config, { force: true })).rejects.toMatchObject({ code: "lock-invalid" });
  },
);

test(
  "a lock holds what goes on top of base trees, and what scripts install",
  { tags: ["system", "distribution"] },
  async (context) => {
    needs(context);
    using folder = temporaryFolder();
    const base = debian(folder.path, { output: "base", imageId: "base", packages: ["less"], bootable: "disabled" });
    await build(base);
    const script = (text: string): string => {
      writeFileSync(folder.join("script"), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
      return folder.join("script");
    };
    const config = debian(folder.path, {
      packages: ["bc", "less"],
      bootable: "disabled",
      baseTrees: [folder.join("out/base")],
    });
    await expect(checkLockable([{ ...config, baseTrees: [folder.join("none")] }])).rejects.toMatchObject({
      code: "tree-not-found",
    });
    const locked = await lock(config);
    expect(names(locked.packages)).toContain("bc");
    expect(names(locked.packages)).not.toContain("less");
    const record = await build(config);
    expect(names(record.packages)).toEqual(expect.arrayContaining(["base-files", "bc", "less"]));
    const postInstallationScripts = [script("mkosi-install bc")];
    await build({ ...config, postInstallationScripts }, { force: true });
    // Whatever a script calls.
    mkdirSync(folder.join("other/DEBIAN"), { recursive: true, mode: 0o755 });
    writeFileSync(
      folder.join("other/DEBIAN/control"),
      "Package: other\nVersion: 1\nArchitecture: all\nMaintainer: Nobody <nobody@example.com>\nDescription: none\n",
    );
    run("dpkg-deb", ["--build", folder.join("other")]);
    script('dpkg --install "$SRCDIR/other.deb"');
    const failed = build({ ...config, postInstallationScripts }, { force: true });
    await expect(failed).rejects.toMatchObject({ code: "lock-stale" });
    await expect(failed).rejects.toThrow(/a script has installed packages that imgtool\.lock does not have: other /);
  },
);

function names(list: readonly { readonly name: string }[]): string[] {
  return list.map(({ name }) => name);
}

test(
  "a lock holds the packages of the build, volatile ones and those of the initrd",
  { tags: ["system", "distribution"] },
  async (context) => {
    needs(context);
    using folder = temporaryFolder();
    writeFileSync(folder.join("greet"), greet, { mode: 0o755 });
    const config = debian(folder.path, {
      packages: ["systemd-sysv", "systemd-boot-efi", "linux-image-cloud-amd64"],
      buildPackages: ["bc"],
      volatilePackages: ["less"],
      buildScripts: [folder.join("greet")],
      bootable: "enabled",
      bootloader: "none",
      unifiedKernelImages: "disabled",
      format: "directory",
    });
    const locked = await lock(config);
    expect(names(locked.build)).toContain("bc");
    expect(names(locked.volatile)).toEqual(["less"]);
    expect(names(locked.packages)).not.toContain("less");
    expect(names(locked.initrd)).toEqual(expect.arrayContaining(["systemd", "e2fsprogs"]));
    const record = await build(config);
    expect(names(record.packages)).toEqual(names([...locked.packages, ...locked.volatile]).sort());
    expect(readdirSync(folder.join(`out/thing/boot/thing`))).toHaveLength(1);
  },
);
