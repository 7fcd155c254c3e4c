import { writeFileSync } from "node:fs";
import { FormatError } from "@imgtool/core";
import { temporaryFolder } from "@imgtool/testkit";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { dnf } from "./dnf.ts";
import { alma, centos, rhel, rocky } from "./enterprise-linux.ts";
import { fedora } from "./fedora.ts";
import { opensuse } from "./opensuse.ts";
import { parseDescription } from "./pacman-description.ts";
import { formatRpmRepository } from "./rpm-configuration.ts";
import type { RpmFamily, RpmRepositoryOptions } from "./rpm-family.ts";
import { parseSize } from "./rpm-distribution.ts";
import { RpmHeader, rpmTags } from "./rpm-header.ts";
import { readRepositorySections } from "./rpm-repository-files.ts";

/** A header as rpm stores it: tags with their types and values. */
function header(tags: readonly (readonly [tag: number, type: number, value: Buffer, count: number])[]): Buffer {
  const entries: Buffer[] = [];
  let data = Buffer.alloc(0);
  for (const [tag, type, value, count] of tags) {
    const entry = Buffer.alloc(16);
    for (const [index, number] of [tag, type, data.length, count].entries()) entry.writeUInt32BE(number, 4 * index);
    entries.push(entry);
    data = Buffer.concat([data, value]);
  }
  const head = Buffer.alloc(8);
  head.writeUInt32BE(tags.length, 0);
  head.writeUInt32BE(data.length, 4);
  return Buffer.concat([head, ...entries, data]);
}

test("a package's header is read, and its times are set in place", () => {
  const bytes = header([
    [rpmTags.name, 6, Buffer.from("bash\0"), 1],
    [rpmTags.installTime, 4, Buffer.from([1, 2, 3, 4]), 1],
    [rpmTags.installTransaction, 4, Buffer.from([1, 2, 3, 4, 5, 6, 7, 8]), 2],
  ]);
  const read = new RpmHeader(bytes);
  expect([read.text(rpmTags.name), read.text(rpmTags.version), read.number(rpmTags.epoch)]).toEqual([
    "bash",
    undefined,
    undefined,
  ]);
  expect(read.number(rpmTags.installTime)).toBe(0x01020304);
  read.setNumber(rpmTags.installTime, 7);
  read.setNumber(rpmTags.installTransaction, 8);
  read.setNumber(rpmTags.epoch, 9);
  expect(bytes.subarray(-12).toString("hex")).toBe("000000070000000800000008");
});

function outcome(bytes: Buffer): string {
  try {
    const read = new RpmHeader(bytes);
    for (const tag of Object.values(rpmTags)) {
      read.text(tag);
      read.setNumber(tag, read.number(tag) ?? 0);
    }
    return "read";
  } catch (error) {
    return error instanceof FormatError ? error.code : String(error);
  }
}

test("a damaged header gives values within it, or a FormatError", () => {
  const whole = header([
    [rpmTags.name, 6, Buffer.from("bash\0"), 1],
    [rpmTags.installTime, 4, Buffer.from([1, 2, 3, 4]), 1],
  ]);
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length), (at, value, length) => {
      const bytes = Buffer.from(whole.subarray(0, Math.max(at + 1, length)));
      bytes[at] = value;
      expect(outcome(bytes)).toMatch(/^(?:read|rpm-header-invalid)$/);
    }),
  );
});

function addresses(family: RpmFamily, changes: Partial<RpmRepositoryOptions>): string[] {
  const common = {
    architecture: "x86-64",
    mirror: undefined,
    snapshot: undefined,
    key: (name: string) => `file:///keys/${name}`,
  };
  const repositories = family.repositories({ release: "", ...common, ...changes });
  return repositories.map(({ id, kind, url, enabled }) => `${enabled ? "" : "-"}${id} ${kind} ${url}`);
}

test("repositories are where their distributions publish them", () => {
  expect(addresses(fedora, { release: "41" })).toEqual([
    "fedora metalink https://mirrors.fedoraproject.org/metalink?arch=$basearch&repo=fedora-$releasever",
    "updates metalink https://mirrors.fedoraproject.org/metalink?arch=$basearch&repo=updates-released-f$releasever",
    "-updates-testing metalink https://mirrors.fedoraproject.org/metalink?arch=$basearch&repo=updates-testing-f$releasever",
  ]);
  expect(addresses(fedora, { release: "rawhide", mirror: "http://m" })).toEqual([
    "fedora baseurl http://m/linux/development/$releasever/Everything/$basearch/os",
  ]);
  expect(addresses(centos, { release: "10" })[0]).toBe(
    "baseos metalink https://mirrors.centos.org/metalink?arch=$basearch&repo=centos-baseos-$stream",
  );
  expect(addresses(rocky, { release: "9.4", mirror: "http://m" })).toContain(
    "crb baseurl http://m/$releasever/CRB/$basearch/os",
  );
  expect(addresses(alma, { release: "9" })[1]).toBe(
    "appstream mirrorlist https://mirrors.almalinux.org/mirrorlist/$releasever/appstream",
  );
  expect(() => addresses(rhel, { release: "9" })).toThrow("Red Hat Enterprise Linux needs a mirror");
  expect(() => addresses(centos, { release: "8" })).toThrow('no release "8"');
  expect(() => addresses(fedora, { release: "41", snapshot: "20250101" })).toThrow("Snapshot=20250101");
  expect(addresses(opensuse, { release: "tumbleweed", snapshot: "20250131" })[0]).toBe(
    "oss baseurl https://download.opensuse.org/history/20250131/tumbleweed/repo/oss",
  );
  expect(addresses(opensuse, { release: "15.6", architecture: "arm64" })).toEqual([
    "oss baseurl https://download.opensuse.org/ports/aarch64/distribution/leap/15.6/repo/oss",
    "-non-oss baseurl https://download.opensuse.org/ports/aarch64/distribution/leap/15.6/repo/non-oss",
    "oss-update baseurl https://download.opensuse.org/ports/aarch64/update/leap/15.6/oss",
  ]);
});

test("a repository is written for dnf and zypper", () => {
  const repository = {
    id: "x",
    kind: "baseurl",
    url: "http://m",
    keys: ["file:///a", "file:///b"],
    enabled: true,
  } as const;
  expect(formatRpmRepository(repository, true)).toBe(
    "[x]\nname=x\nbaseurl=http://m\nenabled=1\ngpgcheck=1\nautorefresh=1\nkeeppackages=1\ngpgkey=file:///a\n       file:///b\n",
  );
  expect(formatRpmRepository(repository, false)).not.toContain("gpgkey");
});

test("what dnf and pacman say is read", () => {
  expect([parseSize("4.5 M"), parseSize("12 k"), parseSize("1.0 G"), parseSize("?")]).toEqual([
    4_718_592, 12_288, 1_073_741_824, 0,
  ]);
  expect([...parseDescription("%NAME%\nbash\n\n%LICENSE%\nMIT\nGPL\n\n%DESC%\n\n")]).toEqual([
    ["NAME", ["bash"]],
    ["LICENSE", ["MIT", "GPL"]],
    ["DESC", []],
  ]);
});

test("a folder of dnf's cache is of one repository, and not of another whose name begins like it", () => {
  expect(dnf.lists.isOf("fedora", "fedora-0123456789abcdef")).toBe(true);
  expect(dnf.lists.isOf("fedora", "fedora-updates-0123456789abcdef")).toBe(false);
  expect(dnf.lists.isOf("fedora-updates", "fedora-updates-0123456789abcdef")).toBe(true);
});

test("the sections of lists of repositories, without that of the project's own packages", async () => {
  using folder = temporaryFolder();
  writeFileSync(folder.join("a.repo"), "# both\n[first]\nbaseurl=file:///a\n\n[second]\nenabled = 0\n");
  writeFileSync(folder.join("imgtool-packages.repo"), "[imgtool-packages]\n");
  writeFileSync(folder.join("README"), "[none]\n");
  const sections = await readRepositorySections(folder.path);
  expect(sections.map(({ id, enabled }) => [id, enabled])).toEqual([
    ["first", true],
    ["second", false],
  ]);
  expect(sections[0]?.lines).toContain("baseurl=file:///a");
});
