/**
 * Arch Linux packages and their repository, made with tar and repo-add, signed.
 * @module
 */
import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../run.ts";
import { writeFiles, type TestPackage } from "./packages.ts";
import { signFile, type SigningKey } from "./signing-key.ts";

/** Makes the repository `name` in `folder`. */
export function makePacmanRepository(
  folder: string,
  name: string,
  packages: readonly TestPackage[],
  key: SigningKey,
  scratch: string,
): void {
  mkdirSync(folder, { recursive: true });
  for (const entry of packages) buildPacmanPackage(entry, folder, join(scratch, entry.name));
  const files = readdirSync(folder).map((file) => join(folder, file));
  for (const file of files) signFile(key, file, "sig");
  run("repo-add", ["--quiet", join(folder, `${name}.db.tar.gz`), ...files]);
}

/** Puts packages in the place of those that the repository has of their names. */
export function replacePacmanPackages(
  folder: string,
  name: string,
  packages: readonly TestPackage[],
  key: SigningKey,
  scratch: string,
): void {
  const made = join(scratch, "repository");
  makePacmanRepository(made, name, packages, key, join(scratch, "made"));
  for (const file of readdirSync(folder)) {
    const isReplaced = packages.some((entry) => file.startsWith(`${entry.name}-`));
    if (isReplaced || file.startsWith(`${name}.`)) rmSync(join(folder, file));
  }
  for (const file of readdirSync(made))
    if (!file.startsWith(`${name}.`)) copyFileSync(join(made, file), join(folder, file));
  const files = readdirSync(folder).filter((file) => file.endsWith(".zst"));
  run("repo-add", ["--quiet", join(folder, `${name}.db.tar.gz`), ...files.map((file) => join(folder, file))]);
}

/** Builds a package into the folder, unsigned. */
export function buildPacmanPackage(entry: TestPackage, folder: string, root: string): void {
  mkdirSync(root, { recursive: true });
  writeFiles(entry.files, root);
  const information = [
    `pkgname = ${entry.name}`,
    `pkgbase = ${entry.name}`,
    `pkgver = ${entry.version}-1`,
    "pkgdesc = for tests",
    "url = https://example.org",
    "builddate = 1700000000",
    "packager = Test <test@example.org>",
    "size = 1000",
    "arch = any",
    "license = MIT",
    ...entry.depends.map((name) => `depend = ${name}`),
    ...entry.provides.filter((name) => !name.startsWith("/")).map((name) => `provides = ${name}`),
  ];
  writeFileSync(join(root, ".PKGINFO"), `${information.join("\n")}\n`);
  if (entry.script !== undefined) writeFileSync(join(root, ".INSTALL"), `post_install() {\n${entry.script}\n}\n`);
  const names = readdirSync(root).sort();
  const archive = join(folder, `${entry.name}-${entry.version}-1-any.pkg.tar.zst`);
  run("tar", [
    "--owner=0",
    "--group=0",
    "--numeric-owner",
    "--sort=name",
    "--zstd",
    "-cf",
    archive,
    "-C",
    root,
    ...names,
  ]);
}
