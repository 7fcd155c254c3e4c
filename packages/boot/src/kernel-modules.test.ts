import { expect, test } from "vitest";
import { efiArchitecture, formatBootEntry, ukiName } from "./esp.ts";
import { chooseModules, moduleName, withDependencies } from "./kernel-modules.ts";

const modules = [
  "kernel/crypto/crc32c_generic.ko",
  "kernel/drivers/block/virtio_blk.ko",
  "kernel/drivers/net/wireless/iwlwifi.ko.xz",
  "kernel/fs/ext4/ext4.ko",
  "kernel/fs/jbd2/jbd2.ko",
  "updates/dkms/own.ko",
];

test("patterns choose modules: the last that matches decides", () => {
  const chosen = (...patterns: string[]): string[] => chooseModules(modules, patterns).map(moduleName);
  expect(chosen()).toHaveLength(modules.length);
  expect(chosen("-.*")).toEqual([]);
  expect(chosen("-.*", "/ext4.ko")).toEqual(["ext4"]);
  expect(chosen("/ext4.ko")).toEqual(["ext4"]);
  expect(chosen("-wireless/")).toHaveLength(modules.length - 1);
  expect(chosen("^fs/", "-jbd2")).toEqual(["ext4"]);
  expect(chosen("default")).toEqual(["crc32c_generic", "virtio_blk", "ext4"]);
  expect(chosen("^dkms/")).toEqual(["own"]);
  for (const pattern of ["(", "host"])
    expect(() => chosen(pattern)).toThrow(expect.objectContaining({ code: "module-pattern-invalid" }) as Error);
});

test("modules bring what they need, softly or not", () => {
  const dependencies = [
    "kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/fs/mbcache.ko",
    "kernel/fs/jbd2/jbd2.ko:",
    "kernel/fs/mbcache.ko:",
    "kernel/crypto/crc32c-generic.ko: kernel/crypto/hash.ko",
    "kernel/crypto/hash.ko:",
    "",
  ].join("\n");
  const soft = "# comment\nsoftdep ext4 pre: crc32c_generic post: not_there\nsoftdep hash pre: ext4\n";
  expect(withDependencies(["kernel/fs/ext4/ext4.ko"], dependencies, soft)).toEqual([
    "kernel/crypto/crc32c-generic.ko",
    "kernel/crypto/hash.ko",
    "kernel/fs/ext4/ext4.ko",
    "kernel/fs/jbd2/jbd2.ko",
    "kernel/fs/mbcache.ko",
  ]);
  expect(withDependencies(["kernel/fs/jbd2/jbd2.ko"], dependencies, soft)).toEqual(["kernel/fs/jbd2/jbd2.ko"]);
  expect(withDependencies(["x/unknown.ko"], "", "")).toEqual(["x/unknown.ko"]);
});

test("unified kernel images have mkosi's names", () => {
  const names = { token: "thing", version: "6.1.0" };
  expect(ukiName(names)).toBe("thing-6.1.0");
  expect(ukiName({ ...names, rootHash: "abc", tries: "3" })).toBe("thing-6.1.0-abc+3");
  expect(ukiName({ ...names, tries: "3" }, "&e_1.2+&c&&")).toBe("thing_1.2+3&");
  for (const format of ["&x", "a/b", "&h"])
    expect(() => ukiName(names, format)).toThrow(expect.objectContaining({ code: "uki-name-invalid" }) as Error);
});

test("boot entries name kernel, initrds and options", () => {
  const entry = { title: "t", version: "v", linux: "/a/linux", initrds: ["/a/1", "/a/2"] };
  expect(formatBootEntry({ ...entry, options: "rw quiet" })).toBe(
    "title t\nversion v\nlinux /a/linux\noptions rw quiet\ninitrd /a/1\ninitrd /a/2\n",
  );
  expect(formatBootEntry({ ...entry, options: "" })).not.toContain("options");
  expect([efiArchitecture("x86-64"), efiArchitecture("s390x")]).toEqual(["x64", undefined]);
});
