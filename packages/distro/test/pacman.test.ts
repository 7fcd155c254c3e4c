import { createHash } from "node:crypto";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { distributionFor } from "@imgtool/distro";
import {
  buildPacmanPackage,
  makePacmanRepository,
  replacePacmanPackages,
  testPackages,
} from "@imgtool/testkit/repositories";
import { distributionContract, place } from "./contract.ts";

distributionContract({
  distribution: distributionFor("arch"),
  release: "rolling",
  programs: ["pacman", "pacman-key", "repo-add", "bsdtar", "bwrap", "gpg", "busybox", "zstd"],
  makeMirror(folder, key, scratch) {
    makePacmanRepository(join(folder, "core/os/x86_64"), "core", testPackages(["filesystem"]), key, scratch);
    makePacmanRepository(join(folder, "extra/os/x86_64"), "extra", [], key, join(scratch, "extra"));
  },
  publish: (folder, key, packages, scratch) =>
    replacePacmanPackages(join(folder, "core/os/x86_64"), "core", packages, key, scratch),
  makePackage: buildPacmanPackage,
  command: "pacman --sync",
  trust(tree, key) {
    const keyrings = join(tree, "usr/share/pacman/keyrings");
    place(join(keyrings, "test.gpg"), readFileSync(key.binary));
    place(join(keyrings, "test-trusted"), `${key.fingerprint}:4:\n`);
  },
  documentation: ["usr/share/doc/tool/manual", "usr/share/man/man1/tool.1"],
  version: (text) => `${text}-1`,
  digest(_, mirror) {
    const [file = ""] = globSync(`${mirror}/*/os/x86_64/tool-3.1-1-*.pkg.tar.zst`);
    return { sha256: createHash("sha256").update(readFileSync(file)).digest("hex") };
  },
  base: "filesystem",
});
