/**
 * RPM packages and their repository, made with rpmbuild and createrepo_c, signed.
 * @module
 */
import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../run.ts";
import { writeFiles, type TestPackage } from "./packages.ts";
import { signFile, type SigningKey } from "./signing-key.ts";

/** Makes a repository in `folder`. */
export function makeRpmRepository(
  folder: string,
  packages: readonly TestPackage[],
  key: SigningKey,
  scratch: string,
): void {
  mkdirSync(folder, { recursive: true });
  for (const entry of packages) buildRpmPackage(entry, folder, join(scratch, entry.name));
  const files = readdirSync(folder).map((name) => join(folder, name));
  const macros = [`_gpg_name ${key.name}`, "__gpg /usr/bin/gpg"].flatMap((macro) => ["--define", macro]);
  if (files.length > 0)
    run("rpmsign", [...macros, "--addsign", ...files], { env: { GNUPGHOME: key.home, HOME: scratch } });
  writeLists(folder, key);
}

/** Puts packages in the place of those that the repository has of their names. */
export function replaceRpmPackages(
  folder: string,
  packages: readonly TestPackage[],
  key: SigningKey,
  scratch: string,
): void {
  const made = join(scratch, "repository");
  makeRpmRepository(made, packages, key, join(scratch, "made"));
  for (const { name } of packages)
    for (const file of readdirSync(folder)) if (file.startsWith(`${name}-`)) rmSync(join(folder, file));
  for (const file of readdirSync(made)) if (file.endsWith(".rpm")) copyFileSync(join(made, file), join(folder, file));
  rmSync(join(folder, "repodata"), { recursive: true });
  writeLists(folder, key);
}

function writeLists(folder: string, key: SigningKey): void {
  run("createrepo_c", ["--quiet", folder]);
  signFile(key, join(folder, "repodata/repomd.xml"), "asc");
  run("cp", [key.armored, join(folder, "repodata/repomd.xml.key")]);
}

/** Builds a package into the folder, unsigned. */
export function buildRpmPackage(entry: TestPackage, folder: string, scratch: string): void {
  const root = join(scratch, "files");
  mkdirSync(root, { recursive: true });
  writeFiles(entry.files, root);
  const paths = Object.keys(entry.files).map(
    (path) => `${path.includes("/doc/") ? "%doc " : ""}${path.endsWith("/") ? "%dir " : ""}/${path.replace(/\/$/, "")}`,
  );
  // rpm compresses pages of manuals; with the hooks off they stay as they are.
  const spec = [
    `Name: ${entry.name}`,
    `Version: ${entry.version}`,
    "Release: 1",
    "Summary: for tests",
    "License: MIT",
    "BuildArch: noarch",
    "AutoReqProv: no",
    ...entry.depends.map((name) => `Requires: ${name}`),
    ...(entry.scriptDepends ?? []).map((name) => `Requires(pre): ${name}`),
    ...entry.provides.map((name) => `Provides: ${name}`),
    "%description",
    "for tests",
    "%install",
    `cp -a ${root}/. %{buildroot}/`,
    ...(entry.script === undefined ? [] : ["%post -p /bin/sh", entry.script]),
    "%files",
    ...paths,
  ];
  const file = join(scratch, "package.spec");
  writeFileSync(file, `${spec.join("\n")}\n`);
  const macros = [
    `_topdir ${scratch}/top`,
    `_rpmdir ${folder}`,
    "_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
    "__os_install_post %{nil}",
    "__brp_mangle_shebangs %{nil}",
    "_binaries_in_noarch_packages_terminate_build 0",
  ].flatMap((macro) => ["--define", macro]);
  run("rpmbuild", ["-bb", "--quiet", ...macros, file], { env: { HOME: scratch } });
}
