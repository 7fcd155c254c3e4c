import { expect, test } from "vitest";
import { defaultInitrd } from "./default-initrd.ts";

const initrdOf = (distribution: string, release: string, repositories: string[] = []) =>
  defaultInitrd({ distribution, release, architecture: "x86-64", repositories });

test("the default initrd is mkosi-initrd's of the distribution and its release", () => {
  expect(initrdOf("debian", "trixie").packages).toEqual(expect.arrayContaining(["systemd", "systemd-cryptsetup"]));
  expect(initrdOf("debian", "bookworm").packages).not.toContain("systemd-cryptsetup");
  expect(initrdOf("fedora", "42")).toMatchObject({
    packages: expect.arrayContaining(["systemd", "util-linux-core", "tpm2-tss"]),
    removePackages: ["shadow-utils"],
  });
  expect(initrdOf("rocky", "10").packages).not.toContain("btrfs-progs");
  expect(initrdOf("rocky", "10", ["epel"]).packages).toContain("btrfs-progs");
  expect(initrdOf("opensuse", "tumbleweed").packages).toContain("patterns-base-minimal_base");
  expect(initrdOf("arch", "rolling")).toMatchObject({
    packages: expect.arrayContaining(["systemd", "tpm2-tss"]),
    removeFiles: expect.arrayContaining(["/usr/lib/*.a"]),
  });
  // It is for its own format that the stub comes along.
  expect(initrdOf("fedora", "42").packages).not.toContain("systemd-boot");
});
