import { readFileSync } from "node:fs";
import { join } from "node:path";
import { distributionFor } from "@imgtool/distro";
import { buildRpmPackage, makeRpmRepository, replaceRpmPackages, testPackages } from "@imgtool/testkit/repositories";
import { distributionContract, place } from "./contract.ts";

distributionContract({
  distribution: distributionFor("opensuse"),
  release: "15.6",
  programs: ["zypper", "rpm", "rpmbuild", "rpmsign", "createrepo_c", "bwrap", "gpg", "busybox"],
  makeMirror(folder, key, scratch) {
    const packages = testPackages(["filesystem", "openSUSE-release"]);
    makeRpmRepository(join(folder, "distribution/leap/15.6/repo/oss"), packages, key, scratch);
    makeRpmRepository(join(folder, "distribution/leap/15.6/repo/non-oss"), [], key, join(scratch, "other"));
    makeRpmRepository(join(folder, "update/leap/15.6/oss"), [], key, join(scratch, "updates"));
  },
  publish: (folder, key, packages, scratch) =>
    replaceRpmPackages(join(folder, "distribution/leap/15.6/repo/oss"), packages, key, scratch),
  makePackage: buildRpmPackage,
  command: "zypper install",
  trust: (tree, key) => place(join(tree, "etc/pki/rpm-gpg/RPM-GPG-KEY-openSUSE"), readFileSync(key.armored)),
  documentation: ["usr/share/doc/tool/manual"],
  version: (text) => `${text}-1`,
  base: "filesystem",
});
