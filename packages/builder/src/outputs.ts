/**
 * Names of what a build makes, all in the output directory: the image, and beside it files whose
 * names begin with the image's. The names are mkosi's; the build record is imgtool's own.
 * @module
 */
import { join } from "node:path";
import type { Compression, ImageConfig, OutputFormat } from "@imgtool/config";
import { isWithinKernel } from "./formats.ts";

const compressionSuffix: Readonly<Record<Compression, string>> = {
  none: "",
  zstd: ".zst",
  xz: ".xz",
  gzip: ".gz",
  bz2: ".bz2",
  lz4: ".lz4",
  lzma: ".lzma",
};

/** The image's extension in each format; none for a folder. */
const extensions: Readonly<Record<Exclude<OutputFormat, "none">, string>> = {
  disk: ".raw",
  directory: "",
  tar: ".tar",
  cpio: ".cpio",
  oci: "",
  uki: ".efi",
  addon: ".efi",
  esp: ".raw",
  sysext: ".raw",
  confext: ".raw",
  portable: ".raw",
};

/** Formats whose image is a folder. */
const folders: ReadonlySet<OutputFormat> = new Set(["directory", "oci"]);

export interface OutputNames {
  /** The image itself, or undefined for Format=none. */
  readonly image: string | undefined;
  readonly rootHash: string;
  readonly rootHashSignature: string;
  /** Settings for systemd-nspawn(1), which looks for them beside an image. */
  readonly nspawnSettings: string;
  readonly manifest: string;
  readonly spdx: string;
  readonly cyclonedx: string;
  readonly checksums: string;
  /** Of the checksums. */
  readonly signature: string;
  readonly record: string;
}

/** File names, without the folder. */
export function outputNames(config: ImageConfig): OutputNames {
  const { output } = config;
  return {
    image: imageName(config),
    rootHash: `${output}.roothash`,
    rootHashSignature: `${output}.roothash.p7s`,
    nspawnSettings: `${output}.nspawn`,
    manifest: `${output}.manifest`,
    spdx: `${output}.spdx.json`,
    cyclonedx: `${output}.cdx.json`,
    checksums: `${output}.SHA256SUMS`,
    signature: `${output}.SHA256SUMS.gpg`,
    record: `${output}.build.json`,
  };
}

function imageName(config: ImageConfig): string | undefined {
  const { format, output, compressOutput } = config;
  if (format === "none") return undefined;
  if (folders.has(format)) return output;
  const extension = format === "disk" ? `.${config.diskFile}` : extensions[format];
  // There it is the archive inside that is compressed.
  const suffix = isWithinKernel(format) || format === "addon" ? "" : compressionSuffix[compressOutput];
  return `${output}${extension}${suffix}`;
}

/** The name of an output before it is compressed. */
export function uncompressed(name: string): string {
  return name.replace(/\.(zst|xz|gz|bz2|lz4|lzma)$/, "");
}

/** Every name that a build of this project may have left, whatever its format was then. */
export function allOutputNames(config: ImageConfig): string[] {
  const { image: _, ...others } = outputNames(config);
  const suffixes = Object.values(compressionSuffix);
  const images = [...Object.values(extensions), ".qcow2", ".vmdk", ".vhdx"].flatMap((extension) =>
    extension === "" ? [config.output] : suffixes.map((suffix) => `${config.output}${extension}${suffix}`),
  );
  return [...new Set(images), ...Object.values(others)];
}

/** The build record's path. */
export function buildRecordPath(config: ImageConfig): string {
  return join(config.outputDirectory, outputNames(config).record);
}
