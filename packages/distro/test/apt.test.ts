import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { distributionFor } from "@imgtool/distro";
import { testPackages } from "@imgtool/testkit/repositories";
import { distributionContract, place } from "./contract.ts";
import { buildDebPackage, makeDebRepository } from "./deb-repository.ts";

const own = new Set(["library", "tool"]);

distributionContract({
  distribution: distributionFor("ubuntu"),
  release: "noble",
  programs: ["apt-get", "mmdebstrap", "bwrap", "gpg", "dpkg-deb", "apt-ftparchive"],
  async makeMirror(folder, key, scratch) {
    const packages = testPackages([])
      .filter(({ name }) => own.has(name))
      .map((entry) => ({ ...entry, depends: entry.depends.filter((name) => own.has(name)) }));
    await makeDebRepository({ folder, suite: "noble", packages, key, scratch });
  },
  async publish(folder, key, newer, scratch) {
    const packages = newer.map((entry) => ({ ...entry, depends: entry.depends.filter((name) => own.has(name)) }));
    for (const file of readdirSync(join(folder, "pool")))
      if (packages.some(({ name }) => file.startsWith(`${name}_`))) rmSync(join(folder, "pool", file));
    await makeDebRepository({ folder, suite: "noble", packages, key, scratch, essential: false });
  },
  makePackage: buildDebPackage,
  command: "apt-get install",
  trust: (tree, key) => place(join(tree, "usr/share/keyrings/ubuntu-archive-keyring.gpg"), readFileSync(key.binary)),
  documentation: ["usr/share/doc/tool/manual", "usr/share/man/man1/tool.1"],
  version: (text) => `${text}-1`,
  base: "base-files",
  mirrorSetting: "localMirror",
});
