import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { EnvironmentError, ProcessError } from "@imgtool/core";
import { run, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { aptError, missingVersions, unknownPackages } from "./apt-errors.ts";
import { formatDeb822Sources, formatSourcesLine, parseDeb822Sources, parseSourcesList } from "./apt-sources.ts";
import { parseUris } from "./apt.ts";
import { debian, debianArchitecture, readHostRepositories, repositoriesFor, ubuntu } from "./debian.ts";
import { removeDocsScript } from "./docs.ts";
import { cleanDpkgVolatile, parseDpkgStatus } from "./dpkg.ts";
import { distributionFor } from "./index.ts";
import { linkMergedUsr } from "./mmdebstrap.ts";
import { nearestNames } from "./nearest.ts";
import { fetchPackages, keepFiles } from "./package-cache.ts";

function files(folder: TemporaryFolder, content: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(content)) {
    mkdirSync(dirname(folder.join(name)), { recursive: true });
    writeFileSync(folder.join(name), text);
  }
}

function failed(output: string): object {
  const cause = new ProcessError("apt-get exited with 100");
  return aptError({ doing: "install packages", family: debian, release: "bookworm", output, cause });
}

function compare(a: string, b: string): number {
  return a < b ? -1 : 1;
}

const oneLine = `# comment
deb [arch=amd64 signed-by=/usr/share/keyrings/a.gpg] http://mirror.example/debian/ bookworm main contrib # why
deb-src http://mirror.example/debian bookworm main
deb http://flat.example/repo ./
`;

const deb822 = `Types: deb deb-src
# comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/a.gpg

Types: deb
Enabled: no
URIs: http://off.example
Suites: bookworm
Components: main

Types: deb
URIs: http://key.example http://second.example/
Suites: stable
Components: main
 contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 -----END PGP PUBLIC KEY BLOCK-----
`;

test("both forms of sources.list are read", () => {
  expect(parseSourcesList(oneLine, "sources.list")).toEqual([
    {
      uri: "http://mirror.example/debian",
      suite: "bookworm",
      components: ["main", "contrib"],
      signedBy: "/usr/share/keyrings/a.gpg",
    },
    { uri: "http://flat.example/repo", suite: "./", components: [] },
  ]);
  const keyed = { uri: "http://mirror.example/debian", components: ["main"], signedBy: "/usr/share/keyrings/a.gpg" };
  expect(parseDeb822Sources(deb822)).toEqual([
    { ...keyed, suite: "bookworm" },
    { ...keyed, suite: "bookworm-updates" },
    { uri: "http://key.example", suite: "stable", components: ["main", "contrib"] },
    { uri: "http://second.example", suite: "stable", components: ["main", "contrib"] },
  ]);
  expect(() => parseSourcesList("deb\n", "some.list")).toThrow('some.list:1: expected "deb [options]');
});

test("what is written in either form is read back the same", () => {
  const [first, second] = parseDeb822Sources(deb822);
  if (first === undefined || second === undefined) throw new Error("nothing read");
  expect(parseDeb822Sources(formatDeb822Sources([first, second]))).toEqual([first, second]);
  expect(parseSourcesList(formatSourcesLine(first, false), "x")).toEqual([first]);
  expect(formatSourcesLine(second, true)).toMatch(/^deb \[trusted=yes allow-insecure=yes [a-z=-]*\] http/);
});

test("the host's archives stand in for the distribution's, suite by suite", async () => {
  using host = temporaryFolder();
  files(host, {
    "etc/os-release": 'ID=debian\nVERSION_CODENAME="bookworm"\n',
    "etc/apt/sources.list": "deb cdrom:[x]/ bookworm main\ndeb http://near.example/debian bookworm main\n",
    "etc/apt/sources.list.d/security.sources":
      "Types: deb\nURIs: http://near.example/sec\nSuites: bookworm-security\nComponents: main\nSigned-By: /k.gpg\n",
    "etc/apt/sources.list.d/other.list":
      "deb http://docker.example bookworm stable\ndeb http://a.example nodistro main\n",
    "etc/apt/sources.list.d/other.disabled": "deb http://off.example bookworm main\n",
  });
  const found = await readHostRepositories("debian", host.path);
  expect(found?.repositories.map(({ uri, suite }) => `${uri} ${suite}`)).toEqual([
    "http://near.example/debian bookworm",
    "http://near.example/sec bookworm-security",
  ]);
  expect(await readHostRepositories("ubuntu", host.path)).toBeUndefined();

  const common = { architecture: "amd64", components: ["main", "contrib"], host: found };
  // The same mirrors serve other releases too.
  expect(repositoriesFor(debian, { ...common, release: "trixie" })).toEqual([
    { uri: "http://near.example/debian", suite: "trixie", components: ["main", "contrib"], signedBy: debian.keyring },
    {
      uri: "http://near.example/debian",
      suite: "trixie-updates",
      components: ["main", "contrib"],
      signedBy: debian.keyring,
    },
    { uri: "http://near.example/sec", suite: "trixie-security", components: ["main", "contrib"], signedBy: "/k.gpg" },
  ]);
  const chosen = repositoriesFor(debian, { ...common, release: "bookworm", mirror: "http://mine.example/debian/" });
  expect(chosen.map(({ uri }) => uri)).toEqual([
    "http://mine.example/debian",
    "http://mine.example/debian",
    debian.securityMirror("amd64"),
  ]);
  expect(repositoriesFor(debian, { ...common, release: "sid" })).toHaveLength(1);
  const ports = repositoriesFor(ubuntu, { release: "noble", architecture: "arm64", components: ["main"] });
  expect(ports[0]?.uri).toContain("ports");
});

test("architectures have Debian's names", () => {
  expect(["x86-64", "arm64", "ppc64-le"].map(debianArchitecture)).toEqual(["amd64", "arm64", "ppc64el"]);
  expect(() => debianArchitecture("vax")).toThrow(expect.objectContaining({ code: "architecture-unknown" }) as Error);
  expect(() => distributionFor("plan9")).toThrow(expect.objectContaining({ code: "distribution-unknown" }) as Error);
});

test("dpkg's status file lists what is installed", () => {
  const status = `Package: zlib1g
Status: install ok installed
Architecture: amd64
Source: zlib (1:1.2.13)
Version: 1:1.2.13.dfsg-1
Description: compression library
 Package: not a field

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: adduser
Status: install ok installed
Architecture: all
Version: 3.134
`;
  expect(parseDpkgStatus(status)).toEqual([
    { name: "adduser", version: "3.134", architecture: "all" },
    { name: "zlib1g", version: "1:1.2.13.dfsg-1", architecture: "amd64", source: "zlib" },
  ]);
});

test("apt's plan is read", () => {
  const hash = "a".repeat(64);
  const text = `'http://x/pool/a_1%3a2_amd64.deb' a_1%3a2_amd64.deb 123 SHA256:${hash}\n'http://x/b.deb' b.deb 5 MD5Sum:00\nnoise\n`;
  expect(parseUris(text)).toEqual([
    { uri: "http://x/pool/a_1%3a2_amd64.deb", file: "a_1%3a2_amd64.deb", size: 123, sha256: hash },
    { uri: "http://x/b.deb", file: "b.deb", size: 5, sha256: undefined },
  ]);
});

test("names that come near a mistyped one", () => {
  const known = ["systemd", "systemd-sysv", "system-config", "nano", "dbus"];
  expect(nearestNames("systmed", known)).toEqual(["systemd"]);
  expect(nearestNames("systemd-sysvv", known)).toEqual(["systemd-sysv"]);
  expect(nearestNames("nothing-like-it", known)).toEqual([]);
});

test("apt's last words become errors that say what to do", () => {
  expect(failed("E: You don't have enough free space in /var/cache/apt/archives/.")).toMatchObject({
    name: "EnvironmentError",
    code: "no-space",
    message: "cannot install packages: no space left in /var/cache/apt/archives/",
  });
  expect(failed("W: GPG error: http://x bookworm InRelease: NO_PUBKEY 0E98404D386FA1D9")).toMatchObject({
    name: "IntegrityError",
    hint: expect.stringContaining("debian-archive-keyring") as unknown,
    data: { key: "0E98404D386FA1D9" },
  });
  expect(
    failed("Err:1 http://m.example/debian bookworm InRelease\n  Temporary failure resolving 'm.example'"),
  ).toMatchObject({
    name: "NetworkError",
    data: { mirror: "http://m.example/debian" },
    message: expect.stringContaining("Temporary failure resolving 'm.example'") as unknown,
  });
  expect(
    failed("E: The repository 'http://m.example/debian nope Release' does not have a Release file."),
  ).toMatchObject({
    name: "NotFoundError",
    code: "release-not-found",
  });
  expect(
    failed("The following packages have unmet dependencies:\n a : Depends: b (>= 2) but 1 is to be installed"),
  ).toMatchObject({
    code: "dependencies-unmet",
    data: { unmet: ["a : Depends: b (>= 2) but 1 is to be installed"] },
  });
  const broken =
    "Setting up dbus\ndpkg: error processing package dbus (--configure):\n exited with 1\nE: Sub-process failed";
  expect(failed(broken)).toMatchObject({ name: "ProcessError", code: "install-failed", data: { package: "dbus" } });
  const own = new EnvironmentError("other");
  expect(aptError({ doing: "x", family: debian, release: "y", output: "", cause: own })).toBe(own);
  expect(unknownPackages("E: Unable to locate package a\nE: Package 'b' has no installation candidate\n")).toEqual([
    "a",
    "b",
  ]);
  expect(missingVersions("E: Version '9' for 'a' was not found")).toEqual(["a=9"]);
});

test("the cache gives whole files only", async () => {
  using folder = temporaryFolder();
  files(folder, { "down/a.deb": "aaa", "down/b.deb": "bbb", "cache/.half.tmp": "x" });
  const cache = folder.join("cache");
  await keepFiles(folder.join("down"), cache, ["a.deb", "b.deb"]);
  await keepFiles(folder.join("down"), cache, ["a.deb"]);
  expect(readdirSync(cache).sort()).toEqual([".half.tmp", "a.deb", "b.deb"]);
  const sha256 = "9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0";
  mkdirSync(folder.join("use"));
  const needed = [
    { uri: "", file: "a.deb", size: 3, sha256 },
    { uri: "", file: "b.deb", size: 3, sha256 },
    { uri: "", file: "c.deb", size: 1, sha256 },
  ];
  const missing = await fetchPackages(cache, folder.join("use"), needed);
  expect(missing.map(({ file }) => file)).toEqual(["b.deb", "c.deb"]);
  expect(readdirSync(folder.join("use"))).toEqual(["a.deb"]);
  expect(existsSync(`${cache}/b.deb`)).toBe(false);
});

test("usr-merge links are made once, and point into the tree", async () => {
  using folder = temporaryFolder();
  await linkMergedUsr(folder.path, "amd64");
  await linkMergedUsr(folder.path, "amd64");
  expect(readdirSync(folder.path)).toEqual(["bin", "lib", "lib32", "lib64", "libx32", "sbin", "usr"]);
});

test("documentation goes, licences stay", () => {
  using folder = temporaryFolder();
  files(folder, {
    "usr/share/doc/a/copyright": "",
    "usr/share/doc/a/README": "",
    "usr/share/doc/a/examples/x": "",
    "usr/share/doc/b/changelog": "",
    "usr/share/man/man1/a.1": "",
    "usr/share/other/kept": "",
  });
  symlinkSync("a", folder.join("usr/share/doc/link"));
  run("sh", ["-c", removeDocsScript, "sh", folder.path]);
  expect(readdirSync(folder.join("usr/share"), { encoding: "utf8", recursive: true }).sort(compare)).toEqual([
    "doc",
    "doc/a",
    "doc/a/copyright",
    "doc/link",
    "doc/link/copyright",
    "man",
    "other",
    "other/kept",
  ]);
});

test("cleaning a tree never leaves it through a link", async () => {
  using folder = temporaryFolder();
  files(folder, { "host/lists/precious": "", "tree/var/lib/x": "", "tree/var/log/dpkg.log": "" });
  mkdirSync(folder.join("tree/var/lib/apt"));
  symlinkSync(folder.join("host/lists"), folder.join("tree/var/lib/apt/lists"));
  await cleanDpkgVolatile(folder.join("tree"));
  expect(readFileSync(folder.join("host/lists/precious"), "utf8")).toBe("");
  expect(existsSync(folder.join("tree/var/log/dpkg.log"))).toBe(false);
});
