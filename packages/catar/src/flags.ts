/**
 * Feature flags: what an archive records about its nodes. The same 64-bit word stands in every ENTRY
 * record and in the header of a chunk index, where its upper bits also tell the digest and what was
 * left out.
 *
 * Values and normalization as the casync program writes them.
 * @module
 */
import { ConfigError, FormatError } from "@imgtool/core";

/** One feature of the archive format, by the name that `--with` takes. */
export type FeatureName =
  | "16bit-uids"
  | "32bit-uids"
  | "user-names"
  | "sec-time"
  | "usec-time"
  | "nsec-time"
  | "2sec-time"
  | "read-only"
  | "permissions"
  | "symlinks"
  | "device-nodes"
  | "fifos"
  | "sockets"
  | "flag-hidden"
  | "flag-system"
  | "flag-archive"
  | "flag-append"
  | "flag-noatime"
  | "flag-compr"
  | "flag-nocow"
  | "flag-nodump"
  | "flag-dirsync"
  | "flag-immutable"
  | "flag-sync"
  | "flag-nocomp"
  | "flag-projinherit"
  | "subvolume"
  | "subvolume-ro"
  | "xattrs"
  | "acl"
  | "selinux"
  | "fcaps"
  | "quota-projid";

/** The bit of every feature that can be asked for by name, in the format's order. */
export const features: Readonly<Record<FeatureName, bigint>> = {
  "16bit-uids": 0x1n,
  "32bit-uids": 0x2n,
  "user-names": 0x4n,
  "sec-time": 0x8n,
  "usec-time": 0x10n,
  "nsec-time": 0x20n,
  "2sec-time": 0x40n,
  "read-only": 0x80n,
  permissions: 0x100n,
  symlinks: 0x200n,
  "device-nodes": 0x400n,
  fifos: 0x800n,
  sockets: 0x1000n,
  "flag-hidden": 0x2000n,
  "flag-system": 0x4000n,
  "flag-archive": 0x8000n,
  "flag-append": 0x1_0000n,
  "flag-noatime": 0x2_0000n,
  "flag-compr": 0x4_0000n,
  "flag-nocow": 0x8_0000n,
  "flag-nodump": 0x10_0000n,
  "flag-dirsync": 0x20_0000n,
  "flag-immutable": 0x40_0000n,
  "flag-sync": 0x80_0000n,
  "flag-nocomp": 0x100_0000n,
  "flag-projinherit": 0x200_0000n,
  subvolume: 0x400_0000n,
  "subvolume-ro": 0x800_0000n,
  xattrs: 0x1000_0000n,
  acl: 0x2000_0000n,
  selinux: 0x4000_0000n,
  fcaps: 0x8000_0000n,
  "quota-projid": 0x1_0000_0000n,
};

/** `.caexclude` files were respected. */
export const excludeFile: bigint = 1n << 60n;
/** Digests are SHA-512/256; without it they are SHA-256. */
export const sha512256: bigint = 1n << 61n;
/** Other file systems mounted inside the tree were left out. */
export const excludeSubmounts: bigint = 1n << 62n;
/** Files with chattr's `d` attribute were left out. */
export const excludeNodump: bigint = 1n << 63n;

/** Bits that say how an archive was made rather than what it records. */
export const policyMask: bigint = excludeFile | sha512256 | excludeSubmounts | excludeNodump;

export type FeatureSetName = "best" | "unix" | "fat" | "chattr" | "fat-attrs" | "privileged" | "fuse" | "all";

/** Named sets of features. */
export const featureSets: Readonly<Record<FeatureSetName, bigint>> = {
  best: 0x1_ffff_fe26n,
  unix: 0x1f09n,
  fat: 0xe0c0n,
  chattr: 0x3ff_0000n,
  "fat-attrs": 0xe000n,
  privileged: 0x1_ec41_4407n,
  fuse: 0x13ff_fffbn,
  all: 0x1_ffff_ffffn,
};

const uidMask = features["16bit-uids"] | features["32bit-uids"];
const timeOrder: readonly bigint[] = [
  features["nsec-time"],
  features["usec-time"],
  features["sec-time"],
  features["2sec-time"],
];
/** All time granularities. */
export const timeMask: bigint = timeOrder.reduce((mask, bit) => mask | bit, 0n);
/** Attribute bits of ENTRY that chattr, FAT or btrfs define. */
export const attributesMask: bigint =
  featureSets.chattr | featureSets["fat-attrs"] | features.subvolume | features["subvolume-ro"];
const knownMask = featureSets.all | policyMask;

/** What casync records in archives by default. */
export const defaultArchiveFlags: bigint = normalizeFlags(featureSets.all | excludeNodump | excludeFile | sha512256);
/** What stands in the index of a blob by default. */
export const defaultBlobFlags: bigint = excludeNodump | excludeFile | sha512256;

/**
 * Drops features that others imply and adds what they need; casync does this to what the user asks
 * for, and refuses archives whose flags are not in this form.
 * @throws FormatError `catar-flags-unknown` for bits that the format does not define
 */
export function normalizeFlags(flags: bigint): bigint {
  const unknown = flags & ~knownMask;
  if (flags < 0n || unknown !== 0n) {
    throw new FormatError(`unknown feature flags: expected none beyond ${hex(knownMask)}, found ${hex(flags)}`, {
      code: "catar-flags-unknown",
      data: { expected: hex(knownMask), found: hex(flags) },
    });
  }
  let result = flags;
  const has = (bit: bigint): boolean => (result & bit) !== 0n;
  if (has(features.acl) && !has(uidMask | features["user-names"])) {
    result |= features["32bit-uids"] | features["user-names"];
  }
  if (has(features["32bit-uids"])) result &= ~features["16bit-uids"];
  const finest = timeOrder.find((bit) => has(bit));
  if (finest !== undefined) result = (result & ~timeMask) | finest;
  if (has(features.acl)) result &= ~(features.permissions | features["read-only"]);
  if (has(features.permissions)) result &= ~features["read-only"];
  if (has(excludeNodump)) result &= ~features["flag-nodump"];
  if (has(features["subvolume-ro"])) result |= features.subvolume;
  return result;
}

/**
 * Refuses a flags word that is unknown or not in normal form.
 * @throws FormatError `catar-flags-unknown`, `catar-flags-not-normal`
 */
export function checkFlags(flags: bigint): void {
  const normal = normalizeFlags(flags);
  if (normal !== flags) {
    throw new FormatError(`feature flags are not normalized: expected ${hex(normal)}, found ${hex(flags)}`, {
      code: "catar-flags-not-normal",
      data: { expected: hex(normal), found: hex(flags) },
    });
  }
}

export interface FlagsRequest {
  /** Names of features or sets; when there is any, they replace the default set. */
  readonly with?: readonly string[];
  /** Names of features or sets to leave out. */
  readonly without?: readonly string[];
  /** Leave out files with chattr's `d` attribute. Default true. */
  readonly excludeNodump?: boolean;
  /** Leave out other file systems mounted inside the tree. Default false. */
  readonly excludeSubmounts?: boolean;
  /** Respect `.caexclude` files. Default true. */
  readonly excludeFile?: boolean;
  /** Default "sha512-256". */
  readonly digest?: "sha512-256" | "sha256";
}

/**
 * The normalized flags of an archive for what a command line asks: `--with`, `--without` and the
 * exclude switches.
 * @throws ConfigError `feature-unknown` for a name that is neither feature nor set
 */
export function parseWith(request: FlagsRequest = {}): bigint {
  // What is left out makes room for what it would have displaced: without acl there are permissions.
  let flags = (request.with ?? []).length > 0 ? union(request.with ?? []) : featureSets.all;
  flags &= ~union(request.without ?? []);
  if (request.excludeNodump !== false) flags |= excludeNodump;
  if (request.excludeSubmounts === true) flags |= excludeSubmounts;
  if (request.excludeFile !== false) flags |= excludeFile;
  if (request.digest !== "sha256") flags |= sha512256;
  return normalizeFlags(flags);
}

function union(names: readonly string[]): bigint {
  let bits = 0n;
  for (const name of names) bits |= featureBits(name);
  return bits;
}

function featureBits(name: string): bigint {
  const table: Readonly<Record<string, bigint>> = { ...featureSets, ...features };
  const bits = Object.hasOwn(table, name) ? table[name] : undefined;
  if (bits === undefined) {
    throw new ConfigError(`unknown archive feature "${name}"`, {
      code: "feature-unknown",
      hint: `use one of ${Object.keys(table).join(", ")}`,
      data: { name },
    });
  }
  return bits;
}

/** The names of the features in a flags word, in the format's order; policy bits are not named. */
export function featureNames(flags: bigint): FeatureName[] {
  return Object.entries(features).flatMap(([name, bit]) => ((flags & bit) === 0n ? [] : [name as FeatureName]));
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
