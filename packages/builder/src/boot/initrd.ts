/**
 * The default initrd: a small image of the same distribution, built by the same pipeline, that finds the
 * root file system, opens it and goes on there. Its packages and what is left out of it are mkosi's.
 * @module
 */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { ImageConfig } from "@imgtool/config";
import { ConfigError } from "@imgtool/core";
import type { BuildContext } from "../context.ts";
import { outputNames } from "../outputs.ts";
import { linkTreeFile, readTreeFile } from "../tree-file.ts";
import { noScripts } from "../steps/script-points.ts";

/** What every initrd is made of, on Debian and Ubuntu. */
const packages: readonly string[] = [
  ..."systemd udev kmod bash less util-linux".split(" "),
  // what is between a disk and a file system
  ..."dmsetup lvm2 libcryptsetup12 p11-kit libfido2-1 libtss2-rc0 libtss2-tcti-device0".split(" "),
  ..."?name(^libtss2-esys-[0-9.]+-0) ?name(^libtss2-mu)".split(" "),
  // checking file systems
  ..."btrfs-progs e2fsprogs erofs-utils dosfstools".split(" "),
];

/** Releases whose systemd package still holds what later ones have in packages of their own. */
const wholeSystemd = new Set(["bullseye", "bookworm", "jammy", "noble"]);

const removedFiles: readonly string[] = [
  // The binary forms are there.
  "/usr/lib/systemd/catalog",
  "/etc/udev/hwdb.d",
  "/usr/lib/udev/hwdb.d",
  "/etc/services",
  "/usr/share/locale/*",
  "/var/cache",
  "/var/log",
  // Debian starts every service that is installed; an initrd starts what its own targets name.
  "/etc/systemd/system/*.wants",
  "/etc/systemd/system/*.requires",
];

/** Files that a package of the distribution would bring if there were one. */
const files: Readonly<Record<string, string>> = {
  // udev's knowledge of these devices must outlive the change to the real root, which would wait for them else.
  "usr/lib/udev/rules.d/10-imgtool-initrd.rules":
    'SUBSYSTEM=="block", KERNEL=="dm-[0-9]*|md[0-9_]*", ACTION=="add|change", OPTIONS+="db_persist"\n',
  "usr/lib/systemd/system/systemd-cryptsetup@.service.d/imgtool-credentials.conf": [
    "[Service]",
    ...["passphrase", "fido2-pin", "tpm2-pin", "luks2-pin", "pkcs11-pin"].map(
      (name) => `LoadCredential=cryptsetup.${name}`,
    ),
    "",
  ].join("\n"),
};

/** Builds the initrd in the workspace; returns its path. */
export async function buildInitrd(context: BuildContext): Promise<string> {
  const { config, workspace, progress } = context;
  if (config.distribution !== "debian" && config.distribution !== "ubuntu")
    throw new ConfigError(`no initrd can be built for Distribution=${config.distribution}`, {
      code: "not-bootable",
      hint: "name one with Initrds=",
    });
  const extra = join(workspace, "initrd-files");
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(extra, name)), { recursive: true, mode: 0o755 });
    await writeFile(join(extra, name), text, { mode: 0o644 });
  }
  const folder = join(workspace, "initrd");
  await mkdir(folder);
  const own = initrdConfig(config, folder, extra);
  progress.log("info", "building the initrd");
  await context.buildImage(own);
  return join(folder, outputNames(own).image ?? "");
}

function initrdConfig(config: ImageConfig, outputDirectory: string, extra: string): ImageConfig {
  const whole = wholeSystemd.has(config.release);
  return {
    ...config,
    files: [],
    format: "cpio",
    verity: "no",
    output: "initrd",
    outputDirectory,
    // The kernel unpacks an archive in its memory: one that is not compressed takes twice its size.
    compressOutput: config.compressOutput === "none" ? "zstd" : config.compressOutput,
    repartDirectories: [],
    checksum: false,
    manifestFormat: [],
    packages: [
      ...packages,
      ...(whole ? [] : ["systemd-cryptsetup"]),
      ...(whole && config.release !== "noble" ? [] : ["systemd-repart"]),
      ...config.initrdPackages,
    ],
    removePackages: [],
    removeFiles: removedFiles,
    withRecommends: false,
    withDocs: false,
    cleanPackageMetadata: true,
    skeletonTrees: [],
    extraTrees: [{ source: extra, target: "/" }],
    ...noScripts,
    secureBoot: false,
    bootable: "disabled",
    initrds: [],
    makeInitrd: true,
    locale: config.locale ?? "C.UTF-8",
  };
}

/** MakeInitrd=: what the kernel starts, and by what systemd knows that it is in an initrd. */
export async function prepareAsInitrd(tree: string): Promise<void> {
  if (
    (await readTreeFile(tree, "usr/lib/systemd/systemd")) !== undefined &&
    (await readTreeFile(tree, "init")) === undefined
  )
    await linkTreeFile(tree, "init", "/usr/lib/systemd/systemd");
  if ((await readTreeFile(tree, "etc/initrd-release")) === undefined)
    await linkTreeFile(tree, "etc/initrd-release", "/etc/os-release");
}
