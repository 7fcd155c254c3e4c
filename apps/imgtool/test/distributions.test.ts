/**
 * Images of distributions besides Debian's family, the whole way: a project with the distribution's key is
 * built by its package manager, published, fetched back and entered.
 */
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { defaultInitrd } from "@imgtool/config";
import {
  makeStub,
  needPrograms,
  needRoot,
  run,
  temporaryFolder,
  testKernel,
  type TemporaryFolder,
} from "@imgtool/testkit";
import {
  buildPacmanPackage,
  buildRpmPackage,
  makePacmanRepository,
  makeRpmRepository,
  makeSigningKey,
  testPackages,
  type SigningKey,
  type TestPackage,
} from "@imgtool/testkit/repositories";
import { expect, test } from "vitest";
import { cli } from "./cli.ts";

interface Case {
  readonly name: string;
  readonly release: string;
  readonly programs: readonly string[];
  /** Makes the mirror below the folder, with further packages. */
  readonly makeMirror: (mirror: TemporaryFolder, key: SigningKey, further?: readonly TestPackage[]) => void;
  readonly makePackage: (entry: TestPackage, folder: string, scratch: string) => void;
  /** Where a project has the key, below mkosi.sandbox, in which form. */
  readonly keyFile: string;
  readonly keyForm: "armored" | "binary";
}

const rpmPrograms = ["rpm", "rpmbuild", "rpmsign", "createrepo_c", "busybox", "gpg", "bwrap"];

const cases: readonly Case[] = [
  {
    name: "fedora",
    release: "41",
    programs: ["dnf", ...rpmPrograms],
    makeMirror(mirror, key, further = []) {
      const packages = [...testPackages(["basesystem"]), ...further];
      makeRpmRepository(mirror.join("linux/releases/41/Everything/x86_64/os"), packages, key, mirror.join("scratch"));
      makeRpmRepository(mirror.join("linux/updates/41/Everything/x86_64"), [], key, mirror.join("scratch/none"));
    },
    makePackage: buildRpmPackage,
    keyFile: "etc/pki/rpm-gpg/RPM-GPG-KEY-fedora-41-primary",
    keyForm: "armored",
  },
  {
    name: "opensuse",
    release: "15.6",
    programs: ["zypper", ...rpmPrograms],
    makeMirror(mirror, key, further = []) {
      const packages = [...testPackages(["filesystem", "openSUSE-release"]), ...further];
      makeRpmRepository(mirror.join("distribution/leap/15.6/repo/oss"), packages, key, mirror.join("scratch"));
      makeRpmRepository(mirror.join("update/leap/15.6/oss"), [], key, mirror.join("scratch/none"));
    },
    makePackage: buildRpmPackage,
    keyFile: "etc/pki/rpm-gpg/RPM-GPG-KEY-openSUSE",
    keyForm: "armored",
  },
  {
    name: "arch",
    release: "rolling",
    programs: ["pacman", "pacman-key", "repo-add", "bsdtar", "busybox", "gpg", "bwrap"],
    makeMirror(mirror, key, further = []) {
      const packages = [...testPackages(["filesystem"]), ...further];
      makePacmanRepository(mirror.join("core/os/x86_64"), "core", packages, key, mirror.join("scratch"));
      makePacmanRepository(mirror.join("extra/os/x86_64"), "extra", [], key, mirror.join("scratch/none"));
    },
    makePackage: buildPacmanPackage,
    keyFile: "usr/share/pacman/keyrings/test.gpg",
    keyForm: "binary",
  },
];

/** Puts the key where a project has it. */
function trust({ name, keyFile, keyForm }: Case, key: SigningKey, project: TemporaryFolder): void {
  const trusted = project.join("mkosi.sandbox", keyFile);
  mkdirSync(dirname(trusted), { recursive: true });
  copyFileSync(key[keyForm], trusted);
  if (name === "arch") writeFileSync(trusted.replace(/\.gpg$/, "-trusted"), `${key.fingerprint}:4:\n`);
}

/** A package of an initrd. */
function initrdPart(name: string): TestPackage {
  const files = { [`usr/lib/${name}/part`]: "part\n", [`usr/share/locale/${name}/part`]: "part\n" };
  return { name, version: "1", depends: ["filesystem"], provides: [], files };
}

for (const subject of cases) {
  const { name, release, programs, makePackage } = subject;
  test(`${name}: built, published, fetched back and entered`, { tags: ["system", "distribution"] }, (context) => {
    needRoot(context);
    needPrograms(context, ...programs);
    using mirror = temporaryFolder();
    using project = temporaryFolder();
    const cwd = project.path;
    const key = makeSigningKey(mirror.join("key"));
    subject.makeMirror(mirror, key);
    trust(subject, key, project);
    writeFileSync(
      project.join("mkosi.conf"),
      `[Distribution]
Distribution=${name}
Release=${release}
Mirror=file://${mirror.path}
[Output]
Format=directory
Output=system
ManifestFormat=json
[Content]
Packages=tool,own
VolatilePackages=made
[Build]
PackageCacheDirectory=packages
`,
    );
    // Packages of the project's own: one that is there, one that a build script makes.
    for (const folder of ["mkosi.packages", "ready"]) mkdirSync(project.join(folder));
    const simple = { version: "1", depends: ["library"], provides: [] };
    makePackage(
      { ...simple, name: "own", files: { "usr/lib/own": "own\n" } },
      project.join("mkosi.packages"),
      mirror.join("own"),
    );
    makePackage(
      { ...simple, name: "made", files: { "usr/lib/made": "made\n" } },
      project.join("ready"),
      mirror.join("made"),
    );
    makePackage(
      { ...simple, name: "asked", files: { "usr/lib/asked": "asked\n" } },
      project.join("mkosi.packages"),
      mirror.join("asked"),
    );
    const script = (name: string, text: string): void =>
      writeFileSync(project.join(name), `#!/bin/sh\nset -eu\n${text}\n`, { mode: 0o755 });
    script("mkosi.prepare", 'if [ "$1" = final ]; then mkosi-install asked; fi');
    script("mkosi.build", 'cp "$SRCDIR"/ready/* "$PACKAGEDIR"; cat "$BUILDROOT/usr/lib/asked"');
    const built = cli(["build"], { cwd });
    expect(built.exitCode, built.stderr).toBe(0);
    const manifest = JSON.parse(readFileSync(project.join("system.manifest"), "utf8")) as {
      readonly packages: readonly { readonly type: string; readonly name: string; readonly version: string }[];
    };
    const type = name === "arch" ? "pkg" : "rpm";
    expect(manifest.packages.find((entry) => entry.name === "tool")).toMatchObject({ type, version: "3.1-1" });
    const published = cli(["publish", "www"], { cwd });
    expect(published.exitCode, published.stderr).toBe(0);
    const extracted = cli(["extract", "www/system.caidx", "back"], { cwd });
    expect(extracted.exitCode, extracted.stderr).toBe(0);
    expect(readFileSync(project.join("back/etc/tool.conf"), "utf8")).toBe("set up by 0\n");
    expect(run("chroot", [project.join("back"), "/usr/bin/tool"])).toBe("tool\n");
    for (const file of ["own", "made", "asked"])
      expect(readFileSync(project.join("back/usr/lib", file), "utf8")).toBe(`${file}\n`);

    // A lock holds the archive's packages and the project's own, and what is volatile.
    writeFileSync(project.join("mkosi.conf"), `[Content]\nVolatilePackages=\nVolatilePackages=asked\n`, { flag: "a" });
    writeFileSync(project.join("mkosi.build"), "#!/bin/sh\n");
    rmSync(project.join("mkosi.prepare"));
    const locked = cli(["lock"], { cwd });
    expect(locked.exitCode, locked.stderr).toBe(0);
    expect(locked.stdout).toContain("1 volatile");
    const again = cli(["build", "--force"], { cwd });
    expect(again.exitCode, again.stderr).toBe(0);
    expect(readFileSync(project.join("system/usr/lib/asked"), "utf8")).toBe("asked\n");
    rmSync(project.join("mkosi.packages"), { recursive: true });
    rmSync(project.join("packages"), { recursive: true });
    const failed = cli(["build", "--force"], { cwd });
    expect([failed.exitCode, failed.stderr]).toEqual([
      4,
      expect.stringContaining("the locked packages cannot be had: own 1-1"),
    ]);
  });
  test(
    `${name}: a disk boots with an initrd of the distribution's own packages`,
    { tags: ["system", "distribution"] },
    (context) => {
      needRoot(context);
      needPrograms(context, ...programs, "depmod", "zstd", "cpio");
      using mirror = temporaryFolder();
      using project = temporaryFolder();
      const cwd = project.path;
      const key = makeSigningKey(mirror.join("key"));
      const { packages, removePackages } = defaultInitrd({
        distribution: name,
        release,
        architecture: "x86-64",
        repositories: [],
      });
      const systemd = { "usr/lib/systemd/systemd": "systemd\n", "usr/lib/systemd/catalog/one": "text\n" };
      subject.makeMirror(mirror, key, [
        { ...initrdPart("systemd"), files: systemd, depends: ["shell"], scriptDepends: removePackages },
        // bash is what the shell provides.
        ...[...packages, ...removePackages, "own"].filter((own) => own !== "systemd" && own !== "bash").map(initrdPart),
      ]);
      trust(subject, key, project);
      const files: Readonly<Record<string, Uint8Array | string>> = {
        "mkosi.conf": `[Distribution]
Distribution=${name}
Release=${release}
Mirror=file://${mirror.path}
[Output]
Output=system
SplitArtifacts=initrd
[Content]
Bootable=yes
Packages=tool
InitrdPackages=own
[Build]
PackageCacheDirectory=packages
`,
        "mkosi.repart/00-esp.conf":
          "[Partition]\nType=esp\nFormat=vfat\nCopyFiles=/boot:/\nCopyFiles=/efi:/\nSizeMinBytes=8M\nSizeMaxBytes=8M\n",
        "mkosi.repart/10-root.conf": "[Partition]\nType=root\nFormat=erofs\nCopyFiles=/\nMinimize=best\n",
        "mkosi.extra/usr/lib/modules/6.1.0-test/vmlinuz": testKernel,
        "mkosi.extra/usr/lib/modules/6.1.0-test/modules.order": "",
        "mkosi.extra/usr/lib/modules/6.1.0-test/modules.builtin": "",
        "mkosi.extra/usr/lib/systemd/boot/efi/linuxx64.efi.stub": makeStub(),
        "mkosi.extra/usr/lib/systemd/boot/efi/systemd-bootx64.efi": makeStub(),
      };
      for (const [path, content] of Object.entries(files)) {
        mkdirSync(dirname(project.join(path)), { recursive: true });
        writeFileSync(project.join(path), content);
      }
      const initrd = (): string[] => {
        const built = cli(["build", "--force"], { cwd });
        expect(built.exitCode, built.stderr).toBe(0);
        return run("sh", ["-c", "zstd -dc < system.initrd | cpio --quiet -it"], { cwd }).split("\n");
      };
      const first = initrd();
      expect(first).toEqual(expect.arrayContaining(["init", "etc/initrd-release", "usr/bin/sh"]));
      for (const own of [...packages, "own"].filter((one) => one !== "systemd" && one !== "bash"))
        expect(first).toContain(`usr/lib/${own}/part`);
      // What only the others' scripts need, and what mkosi's configuration takes out.
      for (const own of removePackages) expect(first).not.toContain(`usr/lib/${own}/part`);
      expect(first).not.toContain("usr/lib/systemd/catalog/one");

      // Tree and initrd are kept while the repositories have what they had.
      const digest = readFileSync(project.join("system.initrd"));
      const incremental = ["build", "--force", "--incremental=yes", "--verbose"];
      const begun = cli(incremental, { cwd });
      expect(begun.stderr).toContain("no cached tree");
      writeFileSync(project.join("mkosi.extra/added"), "added\n");
      const kept = cli(incremental, { cwd });
      expect(kept.exitCode, kept.stderr).toBe(0);
      expect(kept.stderr).not.toMatch(/no cached tree|install packages|building the initrd/);
      expect(kept.stderr).toContain("the initrd is the former build's");
      expect(readFileSync(project.join("system.initrd")).equals(digest)).toBe(true);

      const locked = cli(["lock"], { cwd });
      expect(locked.exitCode, locked.stderr).toBe(0);
      const lock = JSON.parse(readFileSync(project.join("imgtool.lock"), "utf8")) as {
        readonly images: Readonly<Record<string, { readonly initrd: readonly { readonly name: string }[] }>>;
      };
      const names = lock.images["system"]?.initrd.map((one) => one.name);
      expect(names).toEqual(expect.arrayContaining([...packages.filter((own) => own !== "bash"), "own"]));
      expect(initrd()).toEqual(first);
      expect(readFileSync(project.join("system.initrd")).equals(digest)).toBe(true);
    },
  );
}
