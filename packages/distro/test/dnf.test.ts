import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { distributionFor } from "@imgtool/distro";
import { run } from "@imgtool/testkit";
import { buildRpmPackage, makeRpmRepository, replaceRpmPackages, testPackages } from "@imgtool/testkit/repositories";
import { distributionContract, place } from "./contract.ts";

const programs = ["dnf", "rpm", "rpmbuild", "rpmsign", "createrepo_c", "bwrap", "gpg", "busybox"];
const documentation = ["usr/share/doc/tool/manual"];
const digest = (tree: string): { headerSha256: string } => {
  const folder = ["/usr/lib/sysimage/rpm", "/var/lib/rpm"].find((path) => existsSync(`${tree}${path}/rpmdb.sqlite`));
  const query = ["--query", "--queryformat", "%{SHA256HEADER}", "tool"];
  return { headerSha256: run("rpm", ["--root", tree, "--dbpath", folder ?? "", ...query]) };
};
const version = (text: string): string => `${text}-1`;

distributionContract({
  distribution: distributionFor("fedora"),
  release: "41",
  programs,
  makeMirror(folder, key, scratch) {
    const linux = join(folder, "linux");
    makeRpmRepository(join(linux, "releases/41/Everything/x86_64/os"), testPackages(["basesystem"]), key, scratch);
    makeRpmRepository(
      join(linux, "updates/41/Everything/x86_64"),
      testPackages([]).slice(0, 1),
      key,
      join(scratch, "updates"),
    );
  },
  publish: (folder, key, packages, scratch) =>
    replaceRpmPackages(join(folder, "linux/releases/41/Everything/x86_64/os"), packages, key, scratch),
  makePackage: buildRpmPackage,
  command: "dnf install",
  trust: (tree, key) => place(join(tree, "etc/pki/rpm-gpg/RPM-GPG-KEY-fedora-41-primary"), readFileSync(key.armored)),
  documentation,
  version,
  digest,
  base: "filesystem",
});

distributionContract({
  distribution: distributionFor("centos"),
  release: "9",
  programs,
  makeMirror(folder, key, scratch) {
    const stream = join(folder, "9-stream");
    const packages = testPackages(["basesystem"]);
    makeRpmRepository(join(stream, "BaseOS/x86_64/os"), packages.slice(0, 3), key, join(scratch, "base"));
    makeRpmRepository(join(stream, "AppStream/x86_64/os"), packages.slice(3), key, join(scratch, "applications"));
    makeRpmRepository(join(stream, "CRB/x86_64/os"), [], key, join(scratch, "builder"));
  },
  publish: (folder, key, packages, scratch) =>
    replaceRpmPackages(join(folder, "9-stream/AppStream/x86_64/os"), packages, key, scratch),
  makePackage: buildRpmPackage,
  command: "dnf install",
  trust: (tree, key) => place(join(tree, "etc/pki/rpm-gpg/RPM-GPG-KEY-CentOS-Official"), readFileSync(key.armored)),
  documentation,
  version,
  digest,
  base: "filesystem",
});
