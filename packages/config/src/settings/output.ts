/**
 * [Output]: the form, the name and the place of what is built.
 * @module
 */
import { globMatches } from "../glob.ts";
import type { OutputFormat, RootFilesystem } from "../image-config.ts";
import { booleanOf, scalar, textOf } from "../kind.ts";
import {
  boolean,
  bytes,
  choice,
  choiceParser,
  choices,
  fileName,
  integer,
  mode,
  pairs,
  sectorSize,
  text,
  uuid,
} from "../kinds.ts";
import { path, paths } from "../path-kinds.ts";
import { deriveSeed } from "../seed.ts";
import type { SettingDefinition } from "../setting.ts";
import { versionMatches } from "../version.ts";

/** mkosi's output formats. */
const outputFormats = [
  "disk",
  "directory",
  "tar",
  "cpio",
  "uki",
  "esp",
  "oci",
  "sysext",
  "confext",
  "portable",
  "addon",
  "none",
] as const satisfies readonly OutputFormat[];

/** Formats of older versions: a disk whose root has this file system. */
export const diskFormats: Readonly<Record<string, RootFilesystem>> = {
  raw_ext4: "ext4",
  raw_gpt: "ext4",
  gpt_ext4: "ext4",
  raw_btrfs: "btrfs",
  gpt_btrfs: "btrfs",
  raw_xfs: "xfs",
  gpt_xfs: "xfs",
  raw_squashfs: "squashfs",
  gpt_squashfs: "squashfs",
  raw_erofs: "erofs",
  gpt_erofs: "erofs",
};

/** Disks in a form of virtual machines; mkosi leaves these to qemu-img. */
const virtualDiskFormats: readonly string[] = ["qcow2", "vmdk", "vhdx"];

/** The first mkosi's name for a folder that is a btrfs subvolume. */
export const subvolumeFormat = "subvolume";

/** The format of today that a value of `Format=` means: raw_squashfs is a disk. */
export function formatName(value: unknown): OutputFormat {
  if (value === subvolumeFormat) return "directory";
  // Every other value that passes for a format is a disk.
  return outputFormats.find((name) => name === value) ?? "disk";
}

const allFormats = [...outputFormats, ...Object.keys(diskFormats), ...virtualDiskFormats, subvolumeFormat];
const parseFormat = choiceParser(allFormats);

const compressions = ["none", "zstd", "xz", "bz2", "gz", "lz4", "lzma"];
const parseCompression = choiceParser(compressions, {
  aliases: { zst: "zstd", gzip: "gz" },
  yes: "zstd",
  no: "none",
});

const artifacts = [
  "uki",
  "kernel",
  "initrd",
  "os-release",
  "pcrs",
  "partitions",
  "roothash",
  "kernel-modules-initrd",
  "repart-definitions",
  "tar",
];
const defaultArtifacts = ["uki", "kernel", "initrd"];

export const outputSettings: readonly SettingDefinition[] = [
  {
    name: "Format",
    section: "Output",
    kind: choice(allFormats),
    help: "Form of the image; raw_ext4, raw_btrfs, raw_xfs, raw_squashfs and raw_erofs are a disk with that file system, qcow2, vmdk and vhdx a disk for virtual machines, subvolume a folder that is a btrfs subvolume",
    supported: true,
    default: "disk",
    match: (text, value) => formatName(parseFormat(text)) === formatName(value),
    specifier: "t",
    option: { short: "t", argument: "FORMAT" },
  },
  {
    name: "ManifestFormat",
    section: "Output",
    kind: choices(["json", "changelog", "spdx", "cyclonedx"]),
    help: "Forms of the list of installed packages: json; spdx and cyclonedx are bills of materials; changelog is accepted and not written",
    supported: true,
    option: { argument: "FORMAT" },
  },
  {
    name: "Output",
    section: "Output",
    kind: fileName("Output= takes a name; OutputDirectory= takes the folder"),
    help: "Name of the outputs without extension; default: ImageId or image, with _ImageVersion",
    supported: true,
    default: ({ image, value }) => {
      const name = image ?? (textOf(value("ImageId")) || "image");
      const version = value("ImageVersion");
      return typeof version === "string" && version !== "" ? `${name}_${version}` : name;
    },
    specifier: "o",
    option: { short: "o", argument: "NAME" },
  },
  {
    name: "OutputExtension",
    section: "Output",
    kind: text,
    help: "Extension of the output in place of the format's own",
    supported: false,
    option: { argument: "EXTENSION" },
  },
  {
    name: "OutputSize",
    section: "Output",
    kind: bytes,
    help: "Size of a disk image",
    supported: false,
    option: { argument: "SIZE" },
  },
  {
    name: "CompressOutput",
    section: "Output",
    kind: scalar("yes, no or an algorithm", (value) => parseCompression(value), { choices: compressions }),
    help: "Compress the finished image: none, zstd, xz, gz, bz2, lz4 or lzma; default: zstd for archives, none for disks",
    supported: true,
    default: ({ value }) => {
      const format = formatName(value("Format"));
      if (format === "oci") return "gz";
      return ["tar", "cpio", "uki", "esp", "addon"].includes(format) ? "zstd" : "none";
    },
    option: { argument: "ALGORITHM", optional: true },
  },
  {
    name: "CompressLevel",
    section: "Output",
    kind: integer(0, 22),
    help: "Compression level",
    supported: true,
    default: 3,
    option: { argument: "LEVEL" },
  },
  {
    name: "OutputDirectory",
    section: "Output",
    kind: path({ required: false }),
    help: "Folder of the outputs; default: mkosi.output if it exists, else the project directory",
    supported: true,
    scope: "universal",
    specifier: "O",
    files: ["mkosi.output"],
    option: { short: "O", argument: "DIRECTORY", aliases: ["output-dir"] },
  },
  {
    name: "OutputMode",
    section: "Output",
    kind: mode,
    help: "Access mode of the outputs that are files, in octal",
    supported: true,
    scope: "universal",
    option: { argument: "MODE" },
  },
  {
    name: "ImageVersion",
    section: "Output",
    kind: text,
    help: "Version of the image, in its os-release and in the names of the outputs",
    supported: true,
    scope: "inherit",
    match: (text, value) => typeof value === "string" && versionMatches(text, value),
    specifier: "v",
    files: ["mkosi.version"],
    readsFile: true,
    option: { argument: "VERSION" },
  },
  {
    name: "ImageId",
    section: "Output",
    kind: text,
    help: "Identifier of the image, in its os-release and in the names of the outputs",
    supported: true,
    scope: "inherit",
    match: (text, value) => typeof value === "string" && globMatches(text, value),
    specifier: "i",
    option: { argument: "ID" },
  },
  {
    name: "OciLabels",
    section: "Output",
    kind: pairs(() => ""),
    help: "Labels of an OCI image",
    supported: true,
    option: { long: "oci-label", argument: "NAME=VALUE" },
  },
  {
    name: "OciAnnotations",
    section: "Output",
    kind: pairs(() => ""),
    help: "Annotations of an OCI image",
    supported: true,
    option: { long: "oci-annotation", argument: "NAME=VALUE" },
  },
  {
    name: "SplitArtifacts",
    section: "Output",
    kind: choices(artifacts, {
      whole: (value) => {
        const all = booleanOf(value);
        return all === undefined ? undefined : all ? [...defaultArtifacts, "partitions"] : defaultArtifacts;
      },
    }),
    help: "Parts of the image to write as files of their own",
    supported: true,
    default: defaultArtifacts,
    option: { argument: "PART", optional: true },
  },
  {
    name: "RepartDirectories",
    section: "Output",
    kind: paths(),
    help: "Folders with the partition definitions",
    supported: true,
    files: ["mkosi.repart"],
    option: { long: "repart-directory", argument: "PATH", aliases: ["repart-dir"] },
  },
  {
    name: "SectorSize",
    section: "Output",
    kind: sectorSize,
    help: "Sector size of a disk image in bytes; default 512. Where it is set, the blocks of verity hash trees have that size, too",
    supported: true,
    scope: "inherit",
    option: { argument: "BYTES" },
  },
  {
    name: "Overlay",
    section: "Output",
    kind: boolean,
    help: "Keep only what is added to the base trees",
    supported: true,
    option: { argument: "BOOL", optional: true },
  },
  {
    name: "Seed",
    section: "Output",
    kind: uuid,
    help: "UUID that all identifiers of the image derive from; default: derived from ImageId or Output",
    supported: true,
    // Of the platform, browsers have it, too.
    default: ({ value }) =>
      value("Reproducible") === false
        ? globalThis.crypto.randomUUID()
        : deriveSeed(textOf(value("ImageId")) || textOf(value("Output"))),
    files: ["mkosi.seed"],
    readsFile: true,
    option: { argument: "UUID" },
  },
  {
    name: "Reproducible",
    section: "Output",
    kind: boolean,
    help: "Derive identifiers, salts and times from the project alone, so that the same inputs give the same image; no takes random ones and the time of the build",
    supported: true,
    scope: "universal",
    default: true,
    option: { argument: "BOOL", optional: true },
  },
  {
    name: "CleanScripts",
    section: "Output",
    kind: paths(),
    help: "Programs that remove what the build left outside of the output folder",
    supported: true,
    files: ["mkosi.clean"],
    folders: [{ path: "mkosi.clean.d" }],
    option: { long: "clean-script", argument: "PATH" },
  },
];
