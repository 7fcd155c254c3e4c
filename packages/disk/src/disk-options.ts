/**
 * What a disk image is made from, and what comes of it.
 * @module
 */
import type { Signer } from "@imgtool/cms";
import type { Progress } from "@imgtool/core";
import type { PartitionDefinition } from "./definitions.ts";
import type { DiskPartition } from "./describe-partitions.ts";

export interface DiskOptions {
  /** Path of the image that is made. Removed again after an error. */
  readonly output: string;
  /** Directory that CopyFiles= begin at. */
  readonly tree: string;
  readonly definitions: readonly PartitionDefinition[];
  /** UUID that all identifiers derive from. */
  readonly seed: string;
  /** By systemd's name: "x86-64", "arm64", … */
  readonly architecture: string;
  /** 512, 1024, 2048 or 4096. Default 512; the blocks of hash trees have 4096 bytes only if it is not given. */
  readonly sectorSize?: number | undefined;
  /** Seconds since 1970; times after it become it. */
  readonly sourceDateEpoch?: number | undefined;
  /** Signs root hashes; signature partitions need it, unless they are left empty. */
  readonly veritySigner?: Signer | undefined;
  /** Leaves signature partitions empty, for whoever signs the root hash later. Default false. */
  readonly deferSignatures?: boolean;
  /** File with the passphrase of encrypted partitions that have no KeyFile=. */
  readonly passphraseFile?: string | undefined;
  /** Keys of encrypted partitions that derive from the passphrase (default), or that no two disks share. */
  readonly encryptionKeys?: "derived" | "random";
  /** Bytes of the disk. Default: as small as it can be. */
  readonly size?: number;
  /**
   * Types of partitions that `beginDisk` leaves to `finish`, by designator ("esp"): what goes there may
   * depend on the others' root hash. Where they have Minimize=, `size` cannot be given.
   */
  readonly last?: readonly string[];
  /** Folder for temporary files. Default: that of the output. */
  readonly workspace?: string;
  readonly progress?: Progress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface DiskResult {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly diskUuid: string;
  /** Hexadecimal; of the partition of the type root, or else of the first with a hash tree. */
  readonly rootHash?: string;
  /** The signature of `rootHash`, DER, where the disk has a partition for it. */
  readonly rootHashSignature?: Uint8Array;
  readonly partitions: readonly DiskPartition[];
}

/** A disk whose partitions are there, but for those that come last. */
export interface UnfinishedDisk {
  /** All of them, with the root hashes of those that have one. What comes last and has Minimize= has no size yet: 0. */
  readonly partitions: readonly DiskPartition[];
  /**
   * Fills the partitions that come last, from the tree as it is now, and writes the partition table.
   * @throws as makeDisk
   */
  finish(): Promise<DiskResult>;
}
