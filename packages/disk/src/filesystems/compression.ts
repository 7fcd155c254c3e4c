/**
 * Which file systems compress, with what, and how much: asked before anything is built.
 * @module
 */
import { ConfigError } from "@imgtool/core";

export interface CompressionChoice {
  readonly algorithm: string;
  /** Undefined: the usual one. */
  readonly level: number | undefined;
}

/**
 * What each file system can be compressed with, and the highest level where there are levels: of squashfs what mksquashfs
 * knows, of btrfs what the kernel reads and mkfs.btrfs takes; lzo is not written here. Those of erofs are mkfs.erofs's,
 * of which libdeflate is another program for the same format.
 */
const algorithms: Readonly<Record<string, Readonly<Record<string, number | undefined>>>> = {
  squashfs: { gzip: 9, lzo: 9, zstd: 22, lz4: undefined, xz: undefined, lzma: undefined },
  btrfs: { zlib: 9, zstd: 15 },
  erofs: { lz4: undefined, lz4hc: 12, zstd: 22, deflate: 9, libdeflate: 12 },
};

/** Names of the file systems that compress. */
export const compressing: readonly string[] = Object.keys(algorithms);

/** What the file systems themselves know, too. */
const unwritten: Readonly<Record<string, string>> = { btrfs: "lzo", erofs: "lzma" };

/**
 * Checks a compression against what the file system can.
 * @param name of the partition, for messages
 * @throws ConfigError `compression-unsupported`
 */
export function checkCompression(format: string, { algorithm, level }: CompressionChoice, name: string): void {
  const refuse = (message: string, hint: string): never => {
    throw new ConfigError(`${name}: ${message}`, {
      code: "compression-unsupported",
      hint,
      data: { format, algorithm, level },
    });
  };
  const known = algorithms[format];
  if (known === undefined) return;
  if (!Object.hasOwn(known, algorithm))
    refuse(
      `Compression=${algorithm}: ${unwritten[format] === algorithm ? `imgtool cannot write ${algorithm} in ${format}` : `${format} does not know it`}`,
      `use one of ${Object.keys(known).join(", ")}`,
    );
  if (level === undefined) return;
  const highest = known[algorithm];
  if (highest === undefined)
    refuse(`CompressionLevel=${level}: ${format} has no levels of ${algorithm}`, "remove CompressionLevel=");
  else if (level < 1 || level > highest)
    refuse(
      `CompressionLevel=${level}: with ${format}, ${algorithm} has levels from 1 to ${highest}`,
      "choose one of these",
    );
}
