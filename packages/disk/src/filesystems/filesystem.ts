/**
 * What all file system writers share: one interface, one driver per file.
 * @module
 */
import { ConfigError, formatSize, type Progress } from "@imgtool/core";
import type { Subvolume } from "../definitions.ts";
import type { BlockWriter } from "../sparse-file.ts";
import type { CompressionChoice } from "./compression.ts";
import type { TreeNode } from "../tree/node.ts";

export interface FilesystemOptions {
  /** What the file system shall hold; see `scanTree`. */
  readonly tree: TreeNode;
  /** Folder for temporary files, which begin with `scratchName`. */
  readonly scratch: string;
  readonly scratchName?: string;
  readonly uuid: string;
  /** Seed of ext4's directory hashes, a UUID. Default: `uuid`. */
  readonly hashSeed?: string;
  readonly label?: string;
  /** Seconds since 1970: when the file system says it was made. Default 0. */
  readonly sourceDateEpoch?: number | undefined;
  /** Bytes the file system shall have; undefined: as small as it can be, on a 4 KiB grain. */
  readonly size?: number | undefined;
  /** Without `size`, of what can be written to: leave room for more, up to so many bytes in all (Infinity for no limit). */
  readonly roomUpTo?: number | undefined;
  /** Of the disk: 512 (default), 1024, 2048 or 4096. */
  readonly sectorSize?: number | undefined;
  /** Of vfat: FAT32 wherever there is room for it, as boot partitions want. Default: from 512 MiB on. */
  readonly fat32?: boolean;
  /** Of squashfs, btrfs and erofs: the compressor's name and level. Default: zstd at level 9 for squashfs, else none. */
  readonly compression?: CompressionChoice | undefined;
  /** Of btrfs: directories that are subvolumes, by their absolute paths. */
  readonly subvolumes?: readonly Subvolume[] | undefined;
  /** Of btrfs: path of the subvolume that is mounted by default. Default: the whole. */
  readonly defaultSubvolume?: string | undefined;
  /** Nothing will ever be written to it: room for a journal and for more files can be saved. */
  readonly readOnly?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: Progress | undefined;
}

/** A file system whose size is known and whose bytes can be written. */
export interface PreparedFilesystem {
  /** Bytes: a multiple of 4096. */
  readonly size: number;
  /** Writes it, once, to where everything is zero still. */
  write(target: BlockWriter): Promise<void>;
}

export interface FilesystemDriver {
  readonly name: string;
  /** Whether a booted system can write to it. */
  readonly writable: boolean;
  /** Host programs it runs. */
  readonly tools: readonly string[];
  /** The least that systemd-repart gives a partition of this format, in bytes. */
  readonly minimumSize: number;
  /** Longest label in bytes; 0: the format has none. */
  readonly labelLimit: number;
  prepare(options: FilesystemOptions): Promise<PreparedFilesystem>;
}

/**
 * The size of a file system with room to write: a quarter more than its content and 16 MiB, at least what
 * the format asks for. systemd-repart's guess comes out at 1.3 to 2 times the content (measured with
 * ext4 and 60 to 300 MiB), by what its trial on a sparse file of 1 TiB happens to allocate.
 */
export function sizeWithRoom(smallest: number, { roomUpTo, readOnly }: FilesystemOptions, minimum: number): number {
  if (roomUpTo === undefined || readOnly === true) return smallest;
  const wanted = Math.ceil((smallest * 1.25 + 16 * 1024 ** 2) / 4096) * 4096;
  return Math.max(smallest, Math.min(Math.max(wanted, minimum), roomUpTo));
}

/** The error for a tree that is larger than the partition it shall go into. */
export function doesNotFit(filesystem: string, needed: number, size: number): ConfigError {
  const missing = needed - size;
  return new ConfigError(
    `as ${filesystem} the tree needs ${formatSize(needed)} (${needed} bytes), ${formatSize(missing)} (${missing} bytes) more than the ${formatSize(size)} there are`,
    {
      code: "filesystem-full",
      hint: "raise SizeMinBytes= and SizeMaxBytes=, set Minimize=best, or leave files out",
      data: { filesystem, needed, size, missing },
    },
  );
}
