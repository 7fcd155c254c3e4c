/**
 * GRUB, for a PC's BIOS and for UEFI: its images are made from what is in the tree, and find their
 * configuration on the EFI system partition, where kernels and initrds are. What a BIOS starts goes onto
 * the disk when that is made.
 * @module
 */
import { copyFile, mkdir, open, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { efiArchitecture, embedGrub, formatGrubEntry, signPeFile, type GrubEntry } from "@imgtool/boot";
import type { ImageConfig } from "@imgtool/config";
import { silentProgress } from "@imgtool/core";
import type { DiskPartition, PartitionDefinition } from "@imgtool/disk";
import { pathExists, runTool } from "@imgtool/host";
import { resolveInTree, runInSandbox } from "@imgtool/sandbox";
import type { BuildContext } from "../context.ts";
import { isWithinKernel } from "../formats.ts";
import { secureBootSigner } from "../signers.ts";
import { readTreeFile, writeTreeFile } from "../tree-file.ts";
import { placeFile } from "./place-file.ts";
import { findFirst } from "./find-first.ts";

/** GRUB in a tree. */
export interface GrubPlan {
  /** Its modules for a BIOS and for UEFI, as asked for and found: paths in the tree. */
  readonly bios: string | undefined;
  /** Or the program that the distribution has signed: a path on this machine. */
  readonly efi: string | undefined;
  readonly isSigned: boolean;
  /** The folder on the EFI system partition. */
  readonly prefix: string;
}

/** Paths on this machine. */
export interface GrubImages {
  readonly boot: string;
  readonly core: string;
}

/** The type of the partition that the core image goes to, also as its UUID. */
const biosBootType = "bios-boot";
const biosBootUuid = "21686148-6449-6e6f-744e-656564454649";

/** What the core image holds: all that it takes to read the configuration, and what mkosi's scripts may use. */
const modules: readonly string[] = [
  ..."cat cmp div echo fat hello help keylayouts linux loadenv ls normal part_gpt read reboot".split(" "),
  ..."search_fs_file search sleep test tr true".split(" "),
];

/** Where the families of Fedora and SUSE keep the second GRUB apart from the first. */
const secondGrub: ReadonlySet<string> = new Set(
  "fedora centos rhel rhel-ubi rocky alma azure mageia openmandriva opensuse".split(" "),
);

/** GRUB's names of what it is made for. */
const efiTargets: Readonly<Record<string, string>> = {
  "x86-64": "x86_64-efi",
  x86: "i386-efi",
  arm64: "arm64-efi",
  arm: "arm-efi",
  riscv64: "riscv64-efi",
  loongarch64: "loongarch64-efi",
};

/** GRUB as BiosBootloader= and Bootloader= ask for it, as far as the tree has it. */
export async function findGrub(config: ImageConfig, tree: string): Promise<GrubPlan> {
  const prefix = secondGrub.has(config.distribution) ? "grub2" : "grub";
  const find = async (target: string): Promise<string | undefined> => {
    for (const folder of ["usr/lib/grub", "usr/share/grub2"])
      if (await pathExists(await resolveInTree(tree, `${folder}/${target}/moddep.lst`, { followLast: true })))
        return `${folder}/${target}`;
    return undefined;
  };
  const isSigned = config.signedBootloader;
  const efi =
    config.bootloader === "grub" && !isWithinKernel(config.format) ? efiTargets[config.architecture] : undefined;
  const findEfi = async (target: string): Promise<string | undefined> =>
    isSigned ? await findFirst(tree, signedPlaces(efiArchitecture(config.architecture) ?? "")) : await find(target);
  return {
    prefix,
    isSigned,
    bios: config.biosBootloader === "grub" && config.format === "disk" ? await find("i386-pc") : undefined,
    efi: efi === undefined ? undefined : await findEfi(efi),
  };
}

/** Where distributions have the signed program: Debian and Ubuntu, Fedora's family, openSUSE. */
function signedPlaces(efi: string): string[] {
  return [`usr/lib/grub/*/grub${efi}.efi.signed`, `boot/efi/EFI/*/grub${efi}.efi`, "usr/share/efi/*/grub.efi"];
}

/**
 * The distribution's program looks for its configuration in a folder of its own: there is one that leads to ours.
 * openSUSE's looks beside itself.
 */
async function placeSigned(
  { config, tree }: BuildContext,
  source: string,
  prefix: string,
  program: string,
): Promise<void> {
  await placeFile(source, tree, `efi${program}`);
  const folder = config.distribution === "opensuse" ? "EFI/BOOT" : `EFI/${config.distribution}`;
  await writeTreeFile(tree, `efi/${folder}/grub.cfg`, `configfile /${prefix}/grub.cfg\n`, 0o600);
}

/** Whether a definition is of the partition for the core image. */
export function isBiosBoot({ type }: Pick<PartitionDefinition, "type">): boolean {
  return type === biosBootType || type.toLowerCase() === biosBootUuid;
}

/**
 * Makes the images while the tree has what they are made of: that for UEFI is placed and signed, those for a
 * BIOS are returned.
 */
export async function makeGrubImages(
  context: BuildContext,
  { bios, efi, prefix, isSigned }: GrubPlan,
  program: string,
): Promise<GrubImages | undefined> {
  const { config, tree, workspace, signal } = context;
  if (bios === undefined && efi === undefined) return undefined;
  const place = join(workspace, "grub");
  await mkdir(place);
  await writeFile(
    join(place, "early.cfg"),
    `search --no-floppy --set=root --file /${prefix}/grub.cfg\nset prefix=($root)/${prefix}\n`,
  );
  await keepFont(context, prefix);
  const keyboards = /^x86(?:-64)?$/.test(config.architecture) ? ["keylayouts"] : [];
  if (efi !== undefined && isSigned) await placeSigned(context, efi, prefix, program);
  else if (efi !== undefined) {
    // Without shim there is nobody whom GRUB could ask what may be started.
    const alone = config.shimBootloader === "none" ? ["--disable-shim-lock"] : [];
    await runMkimage(context, place, {
      folder: efi,
      prefix,
      name: "grub.efi",
      words: [...alone, ...modules, ...keyboards, "chain"],
    });
    const placed = await placeFile(join(place, "grub.efi"), tree, `efi${program}`);
    const signer = await secureBootSigner(config, silentProgress);
    if (signer !== undefined) await signPeFile(placed, { signer, signal });
  }
  if (bios === undefined) return undefined;
  await runMkimage(context, place, {
    folder: bios,
    prefix,
    name: "core.img",
    words: [...modules, ...keyboards, "biosdisk"],
  });
  await copyFile(await resolveInTree(tree, `${bios}/boot.img`, { followLast: true }), join(place, "boot.img"));
  return { boot: join(place, "boot.img"), core: join(place, "core.img") };
}

interface CoreImage {
  /** Path in the tree, named for what the image is for. */
  readonly folder: string;
  readonly prefix: string;
  readonly name: string;
  readonly words: readonly string[];
}

async function runMkimage(
  { tree, signal }: BuildContext,
  place: string,
  { folder, prefix, name, words }: CoreImage,
): Promise<void> {
  const options = (at: string, directory: string): string[] => [
    `--format=${basename(folder)}`,
    `--directory=${directory}`,
    `--prefix=/${prefix}`,
    `--config=${at}/early.cfg`,
    `--output=${at}/${name}`,
    ...words,
  ];
  const own = await findMkimage(tree);
  if (own === undefined) {
    const directory = await resolveInTree(tree, folder, { followLast: true });
    await runTool("grub-mkimage", options(place, directory), { signal });
    return;
  }
  // The program fits the modules that it came with; this machine's may be of another version.
  const script = join(place, "mkimage");
  await writeFile(script, `#!/bin/sh\nexec ${own} "$@"\n`, { mode: 0o755 });
  const target = "/work/grub";
  const binds = [{ source: place, target, writable: true }];
  await runInSandbox({ script, args: options(target, `/${folder}`), tree, inside: true, binds, signal });
}

async function findMkimage(tree: string): Promise<string | undefined> {
  for (const name of ["grub-mkimage", "grub2-mkimage"])
    if (await pathExists(await resolveInTree(tree, `usr/bin/${name}`, { followLast: true }))) return `/usr/bin/${name}`;
  return undefined;
}

/** For configurations with a graphical terminal. */
async function keepFont({ tree }: BuildContext, prefix: string): Promise<void> {
  for (const name of ["grub", "grub2"]) {
    const font = await resolveInTree(tree, `usr/share/${name}/unicode.pf2`, { followLast: true });
    if (!(await pathExists(font))) continue;
    await placeFile(font, tree, `efi/${prefix}/fonts/unicode.pf2`);
    return;
  }
}

/** Adds an entry to grub.cfg; what the project has there stays before it. */
export async function addGrubEntry({ tree }: BuildContext, { prefix }: GrubPlan, entry: GrubEntry): Promise<void> {
  const path = `efi/${prefix}/grub.cfg`;
  const before = (await readTreeFile(tree, path)) ?? "set timeout=0\n";
  await writeTreeFile(tree, path, before + formatGrubEntry(entry), 0o600);
}

/** GRUB tells the system nothing of the disk it was started from: it looks for its root by this. */
export function rootOption(options: readonly string[], partitions: readonly DiskPartition[]): string[] {
  if (options.some((option) => /^(?:root|mount\.usr|roothash|usrhash)=/.test(option))) return [];
  for (const [type, name] of [
    ["root", "root"],
    ["usr", "mount.usr"],
  ] as const) {
    const found = partitions.find((one) => one.type.startsWith(type));
    if (found !== undefined) return [`${name}=PARTUUID=${found.uuid}`];
  }
  return [];
}

/**
 * Writes the images to a disk that is otherwise finished; does nothing for one without a partition for them.
 * @throws as embedGrub
 */
export async function installGrub(
  { boot, core }: GrubImages,
  disk: string,
  partitions: readonly { readonly type: string; readonly offset: number; readonly size: number }[],
): Promise<void> {
  const partition = partitions.find(({ type }) => type === biosBootType);
  if (partition === undefined) return;
  await using file = await open(disk, "r+");
  const mbr = Buffer.alloc(512);
  await file.read(mbr, 0, mbr.length, 0);
  const images = { bootImage: await readFile(boot), coreImage: await readFile(core) };
  for (const { offset, bytes } of embedGrub({ mbr, ...images, partition }))
    await file.write(bytes, 0, bytes.length, offset);
  await file.sync();
}
