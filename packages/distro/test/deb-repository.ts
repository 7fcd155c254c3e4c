/**
 * A signed repository of .deb packages in Ubuntu's layout: Debian's essential packages, which bring a
 * dpkg that runs, and those of the tests.
 * @module
 */
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { silentProgress } from "@imgtool/core";
import { run } from "@imgtool/testkit";
import { type TestPackage, writeFiles } from "@imgtool/testkit/repositories";
import { AptRoot, hostAptConfiguration } from "../src/apt.ts";
import { debian, readHostRepositories, repositoriesFor } from "../src/debian.ts";
import type { SigningKey } from "@imgtool/testkit/repositories";

export interface DebRepositoryOptions {
  readonly folder: string;
  readonly suite: string;
  readonly packages: readonly TestPackage[];
  readonly key: SigningKey;
  readonly scratch: string;
  /** Whether Debian's essential packages are in it: without them nothing can be installed. Default true. */
  readonly essential?: boolean;
}

/** Makes the repository. */
export async function makeDebRepository(options: DebRepositoryOptions): Promise<void> {
  const { folder, suite, key, scratch } = options;
  const pool = join(folder, "pool");
  mkdirSync(pool, { recursive: true });
  if (options.essential !== false) await copyEssentialPackages(pool, join(scratch, "apt"));
  for (const entry of options.packages) buildDebPackage(entry, pool, join(scratch, entry.name));
  const index = join(folder, "dists", suite, "main/binary-amd64");
  mkdirSync(index, { recursive: true });
  writeFileSync(join(index, "Packages"), run("apt-ftparchive", ["packages", "pool"], { cwd: folder }));
  const fields = [
    "Origin=Ubuntu",
    `Suite=${suite}`,
    `Codename=${suite}`,
    "Components=main",
    "Architectures=amd64",
  ].flatMap((field) => ["-o", `APT::FTPArchive::Release::${field}`]);
  const release = join(folder, "dists", suite, "Release");
  const text = run("apt-ftparchive", [...fields, "release", join(folder, "dists", suite)]);
  writeFileSync(release, text);
  run(
    "gpg",
    [
      "--batch",
      "--yes",
      "--local-user",
      key.name,
      "--clearsign",
      "--output",
      join(folder, "dists", suite, "InRelease"),
      release,
    ],
    {
      env: { GNUPGHOME: key.home },
    },
  );
}

/**
 * Those of them that dpkg and the scripts of packages run, and what these need: a tree of them takes half the time
 * of one with all (25 packages of 61).
 */
const small = new Set(
  [
    "base-files base-passwd coreutils dash debianutils diffutils dpkg findutils grep libc-bin mawk sed tar",
    "gcc-12-base libacl1 libattr1 libbz2-1.0 libc6 libcrypt1 libdebconfclient0 libgcc-s1 libgmp10 liblzma5 libmd0",
    "libpcre2-8-0 libselinux1 libssl3 libzstd1 zlib1g",
  ].flatMap((names) => names.split(" ")),
);

/** From the mirror of this machine, or Debian's own. */
async function copyEssentialPackages(pool: string, root: string): Promise<void> {
  const apt = new AptRoot({
    family: debian,
    release: "bookworm",
    architecture: "amd64",
    root,
    repositories: repositoriesFor(debian, {
      release: "bookworm",
      architecture: "amd64",
      components: ["main"],
      host: await readHostRepositories("debian"),
    }),
    keyCheck: true,
    withRecommends: false,
    hostConfiguration: await hostAptConfiguration(undefined),
    isSnapshot: false,
    packageCache: undefined,
    progress: silentProgress,
    signal: undefined,
  });
  await apt.create();
  await apt.update();
  await apt.download(await apt.plan([]));
  for (const name of readdirSync(apt.archives))
    if (name.endsWith(".deb") && small.has(name.slice(0, name.indexOf("_"))))
      copyFileSync(join(apt.archives, name), join(pool, name));
}

/** Builds a package into the folder. */
export function buildDebPackage(entry: TestPackage, pool: string, root: string): void {
  mkdirSync(join(root, "DEBIAN"), { recursive: true });
  writeFiles(entry.files, root);
  const control = [
    `Package: ${entry.name}`,
    `Version: ${entry.version}-1`,
    "Architecture: all",
    "Maintainer: Test <test@example.org>",
    ...(entry.depends.length === 0 ? [] : [`Depends: ${entry.depends.join(", ")}`]),
    "Description: for tests",
  ];
  writeFileSync(join(root, "DEBIAN/control"), `${control.join("\n")}\n`);
  if (entry.script !== undefined)
    writeFileSync(join(root, "DEBIAN/postinst"), `#!/bin/sh\nset -e\n${entry.script}\n`, { mode: 0o755 });
  run("dpkg-deb", ["--build", "--root-owner-group", root, join(pool, `${entry.name}_${entry.version}-1_all.deb`)], {
    // The same package again has the same bytes, however much later.
    env: { SOURCE_DATE_EPOCH: "1600000000" },
  });
}
