/**
 * Reduces a node's metadata to what an archive's feature flags record: casync applies the same rules,
 * so equal trees give equal bytes whatever else their file systems know about them.
 * @module
 */
import { ConfigError } from "@imgtool/core";
import { attributesMask, features, timeMask } from "./flags.ts";
import {
  compareAclEntries,
  takesAttributes,
  typeMask,
  type AclEntry,
  type CatarNode,
  type NodeKind,
  type NodeMetadata,
} from "./node.ts";

const wide = features.permissions | features.acl;

/**
 * The node's metadata as an archive with these (normalized) flags records it.
 * @throws ConfigError `uid-too-large` when 16-bit ids are asked for and an id has more
 */
export function reduceMetadata(node: CatarNode, flags: bigint): NodeMetadata {
  const { metadata } = node;
  const { kind } = node.content;
  const has = (bit: bigint): boolean => (flags & bit) !== 0n;
  const plain = takesAttributes(kind);
  const named = has(features["user-names"]);
  return {
    mode: (metadata.mode & typeMask) | permissionsOf(metadata.mode, kind, flags),
    uid: reduceId(metadata.uid, flags, "user"),
    gid: reduceId(metadata.gid, flags, "group"),
    mtime: floorTime(metadata.mtime, flags),
    attributes: plain ? (metadata.attributes ?? 0n) & flags & attributesMask : 0n,
    ...(named && metadata.user !== undefined ? { user: metadata.user } : {}),
    ...(named && metadata.group !== undefined ? { group: metadata.group } : {}),
    ...(plain && has(features.xattrs) && metadata.xattrs !== undefined ? { xattrs: metadata.xattrs } : {}),
    ...(kind !== "symlink" && has(features.acl) && metadata.acl !== undefined
      ? { acl: reduceAcl(metadata.acl, flags) }
      : {}),
    ...(kind === "directory" && has(features.acl) && metadata.defaultAcl !== undefined
      ? { defaultAcl: reduceAcl(metadata.defaultAcl, flags) }
      : {}),
    ...(has(features.selinux) && metadata.selinux !== undefined ? { selinux: metadata.selinux } : {}),
    ...(kind === "file" && has(features.fcaps) && metadata.capability !== undefined
      ? { capability: metadata.capability }
      : {}),
    ...(plain && has(features["quota-projid"]) && (metadata.projectId ?? 0) !== 0
      ? { projectId: metadata.projectId as number }
      : {}),
  };
}

interface AclEntries {
  readonly users: readonly AclEntry[];
  readonly groups: readonly AclEntry[];
}

/**
 * An ACL with ids and names as the flags record those of owners; sorted anew, since ids can become
 * equal, and entries that nothing tells apart any more are recorded once.
 */
function reduceAcl<Acl extends AclEntries>(acl: Acl, flags: bigint): Acl {
  const named = (flags & features["user-names"]) !== 0n;
  const reduce = (entries: readonly AclEntry[], what: string): AclEntry[] =>
    entries
      .map(({ id, permissions, name }) => ({
        id: reduceId(id, flags, what),
        permissions,
        ...(named && name !== undefined ? { name } : {}),
      }))
      .sort(compareAclEntries)
      .filter((entry, i, sorted) => {
        const previous = sorted[i - 1];
        return previous === undefined || compareAclEntries(previous, entry) !== 0;
      });
  return { ...acl, users: reduce(acl.users, "user"), groups: reduce(acl.groups, "group") };
}

/** The permission bits that the flags let through. */
export function permissionsOf(mode: number, kind: NodeKind, flags: bigint): number {
  if (kind === "symlink") return 0o777;
  if ((flags & wide) !== 0n) return mode & 0o7777;
  const readOnly = (flags & features["read-only"]) !== 0n && (mode & 0o222) === 0;
  if (kind === "directory") return readOnly ? 0o555 : 0o777;
  return readOnly ? 0o444 : 0o666;
}

function reduceId(id: number, flags: bigint, what: string): number {
  if ((flags & features["32bit-uids"]) !== 0n) return id;
  if ((flags & features["16bit-uids"]) === 0n) return 0;
  // 65535 is the 16-bit form of "no id", which a decoder refuses.
  if (id > 65_534) {
    throw new ConfigError(`${what} id ${id} does not fit into 16 bits`, {
      code: "uid-too-large",
      hint: "use the feature 32bit-uids",
      data: { expected: "at most 65534", found: id },
    });
  }
  return id;
}

/** The unit of recorded times, in nanoseconds; 0 when none are recorded. */
export function timeUnit(flags: bigint): bigint {
  switch (flags & timeMask) {
    case features["nsec-time"]:
      return 1n;
    case features["usec-time"]:
      return 1000n;
    case features["sec-time"]:
      return 1_000_000_000n;
    case features["2sec-time"]:
      return 2_000_000_000n;
    default:
      return 0n;
  }
}

function floorTime(time: bigint, flags: bigint): bigint {
  const unit = timeUnit(flags);
  if (unit === 0n) return 0n;
  // casync floors the unsigned value, which wraps before 1970.
  const unsigned = BigInt.asUintN(64, time);
  return unsigned - (unsigned % unit);
}
