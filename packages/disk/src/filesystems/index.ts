/**
 * The file systems that can be made, by name.
 * @module
 */
import { rmSync } from "node:fs";
import { ConfigError } from "@imgtool/core";
import { nearestName } from "../partition-types.ts";
import { btrfs } from "./btrfs.ts";
import { checkCompression } from "./compression.ts";
import { erofs } from "./erofs.ts";
import { ext4 } from "./ext4.ts";
import type { FilesystemDriver, FilesystemOptions, PreparedFilesystem } from "./filesystem.ts";
import { SparseFile } from "../sparse-file.ts";
import { squashfs } from "./squashfs.ts";
import { swap } from "./swap.ts";
import { vfat } from "./vfat.ts";
import { xfs } from "./xfs.ts";

/** One driver per format. */
export const filesystems: Readonly<Record<string, FilesystemDriver>> = {
  ext4,
  btrfs,
  xfs,
  squashfs,
  erofs,
  vfat,
  swap,
};

/**
 * The driver of a file system.
 * @throws ConfigError `filesystem-unknown` with the nearest name
 */
export function findFilesystem(name: string): FilesystemDriver {
  const driver = Object.hasOwn(filesystems, name) ? filesystems[name] : undefined;
  if (driver !== undefined) return driver;
  const names = Object.keys(filesystems);
  const nearest = nearestName(name, names);
  throw new ConfigError(`cannot make a file system of the kind "${name}"`, {
    code: "filesystem-unknown",
    hint: `${nearest === undefined ? "" : `did you mean "${nearest}"? `}known: ${names.join(", ")}`,
    data: { found: name, nearest },
  });
}

/**
 * Prepares a file system from a scanned tree; the same tree and options give the same bytes.
 * @throws ConfigError `filesystem-unknown`, `filesystem-full`, `label-too-long`, `xattr-too-large`,
 * `compression-unsupported`
 */
export async function prepareFilesystem(format: string, options: FilesystemOptions): Promise<PreparedFilesystem> {
  const driver = findFilesystem(format);
  const label = options.label ?? "";
  const length = new TextEncoder().encode(label).length;
  if (driver.labelLimit > 0 && length > driver.labelLimit)
    throw new ConfigError(`the label "${label}" has ${length} bytes, ${format} has room for ${driver.labelLimit}`, {
      code: "label-too-long",
      data: { label, limit: driver.labelLimit },
    });
  if (options.compression !== undefined) checkCompression(format, options.compression, format);
  return await driver.prepare(options);
}

export interface MakeFilesystemOptions extends FilesystemOptions {
  /** File that is made; whatever is there is replaced. Removed again after an error. */
  readonly output: string;
}

/** Makes a file system as a file of its own; returns its size in bytes. */
export async function makeFilesystem(format: string, options: MakeFilesystemOptions): Promise<{ size: number }> {
  const prepared = await prepareFilesystem(format, options);
  try {
    using file = new SparseFile(options.output);
    file.setSize(prepared.size);
    await prepared.write(file);
    file.close();
  } catch (error) {
    rmSync(options.output, { force: true });
    throw error;
  }
  return { size: prepared.size };
}
