/**
 * The ENTRY record, which opens every node, checked against the archive's feature flags.
 * @module
 */
import { CatarError } from "./errors.ts";
import { bounded, u64, type RawRecord } from "./fields.ts";
import { attributesMask, checkFlags, features, featureSets } from "./flags.ts";
import { kindOfMode, recordsKind, takesAttributes, typeMask, type NodeKind, type NodeMetadata } from "./node.ts";
import { permissionsOf, timeUnit } from "./reduce.ts";

/** The feature flags of an ENTRY. */
export function entryFlags(record: RawRecord): bigint {
  const flags = u64(record, 0);
  checkFlags(flags);
  return flags;
}

/** @throws CatarError when a field contradicts the flags or another field */
export function decodeEntry(record: RawRecord, flags: bigint): { kind: NodeKind; metadata: NodeMetadata } {
  const { kind, mode } = decodeMode(record, flags);
  const mtime = BigInt.asIntN(64, u64(record, 40));
  const unit = timeUnit(flags);
  const unsigned = BigInt.asUintN(64, mtime);
  if (unit === 0n ? mtime !== 0n : unsigned % unit !== 0n) {
    fail(record, "modification time is finer than the feature flags allow", `a multiple of ${unit} ns`, `${mtime}`);
  }
  return {
    kind,
    metadata: {
      mode,
      uid: decodeId(record, 24, flags, "uid"),
      gid: decodeId(record, 32, flags, "gid"),
      mtime,
      attributes: decodeAttributes(record, kind, flags),
    },
  };
}

function decodeMode(record: RawRecord, flags: bigint): { kind: NodeKind; mode: number } {
  const mode = bounded(record, 8, 0o177_777, "mode");
  const kind = kindOfMode(mode);
  if (kind === undefined) fail(record, "mode has no file type", "a type as in st_mode", octal(mode));
  if (!recordsKind(flags, kind)) {
    fail(record, "a node of this kind has no place", `none with feature flags 0x${flags.toString(16)}`, kind);
  }
  // What the flags cannot record must be as the encoder sets it.
  const permissions = mode & ~typeMask;
  if (permissionsOf(mode, kind, flags) !== permissions) {
    fail(record, "permissions contradict kind or feature flags", octal(permissionsOf(mode, kind, flags)), octal(mode));
  }
  return { kind, mode };
}

function decodeId(record: RawRecord, at: number, flags: bigint, what: string): number {
  // The highest value of either width means "no id".
  const max =
    (flags & features["32bit-uids"]) !== 0n ? 0xffff_fffe : (flags & features["16bit-uids"]) !== 0n ? 65_534 : 0;
  return bounded(record, at, max, what);
}

function decodeAttributes(record: RawRecord, kind: NodeKind, flags: bigint): bigint {
  const attributes = u64(record, 16);
  let allowed = takesAttributes(kind) ? flags & attributesMask : 0n;
  if (kind !== "directory") allowed &= featureSets.chattr | featureSets["fat-attrs"];
  if ((attributes & ~allowed) !== 0n) {
    fail(record, "attributes that kind or feature flags do not allow", hex(allowed), hex(attributes));
  }
  return attributes;
}

function fail(record: RawRecord, message: string, expected: string, found: string): never {
  throw new CatarError("catar-entry-invalid", message, { offset: record.offset, expected, found });
}

function octal(mode: number): string {
  return `0${mode.toString(8)}`;
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
