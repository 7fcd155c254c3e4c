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

/** What the kernel reads of btrfs, with the highest level that mkfs.btrfs takes; lzo is not written here. */
const btrfsLevels: Readonly<Record<string, number>> = { zlib: 9, zstd: 15 };

/**
 * Checks the compression of the file systems that imgtool writes itself.
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
  if (format === "erofs")
    refuse(
      `Compression=${algorithm}: imgtool writes erofs without compression`,
      "set Format=squashfs, which compresses, or remove Compression=",
    );
  if (format !== "btrfs") return;
  const highest = Object.hasOwn(btrfsLevels, algorithm) ? btrfsLevels[algorithm] : undefined;
  if (highest === undefined) {
    refuse(
      `Compression=${algorithm}: ${algorithm === "lzo" ? "imgtool cannot write lzo in btrfs" : "btrfs does not know it"}`,
      `use one of ${Object.keys(btrfsLevels).join(", ")}`,
    );
  } else if (level !== undefined && (level < 1 || level > highest))
    refuse(
      `CompressionLevel=${level}: with btrfs, ${algorithm} has levels from 1 to ${highest}`,
      "choose one of these",
    );
}
