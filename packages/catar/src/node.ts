/**
 * What an archive says about one node of a tree.
 * @module
 */
import { compareBytes } from "@imgtool/core";
import { features } from "./flags.ts";

/** What the node is; `mode` carries the same as its type bits. */
export type NodeContent =
  | { readonly kind: "directory" }
  /** `size` in bytes of the payload that follows. */
  | { readonly kind: "file"; readonly size: number }
  /** `target` without NUL. */
  | { readonly kind: "symlink"; readonly target: Uint8Array }
  | { readonly kind: "block" | "character"; readonly major: number; readonly minor: number }
  | { readonly kind: "fifo" | "socket" };

export type NodeKind = NodeContent["kind"];

export interface Xattr {
  /** With its namespace (`user.`, `trusted.`), without NUL. */
  readonly name: Uint8Array;
  readonly value: Uint8Array;
}

/** A named user or group of an access control list. */
export interface AclEntry {
  readonly id: number;
  /** Bits as in a mode: read 4, write 2, execute 1. */
  readonly permissions: number;
  readonly name?: string;
}

export interface AccessAcl {
  readonly users: readonly AclEntry[];
  readonly groups: readonly AclEntry[];
  /** The owning group's permissions, where there is a mask; the mode's group bits are the mask then. */
  readonly groupObject?: number;
}

/** The list that new children of a directory inherit; an absent permission has no entry. */
export interface DefaultAcl {
  readonly user?: number;
  readonly group?: number;
  readonly other?: number;
  readonly mask?: number;
  readonly users: readonly AclEntry[];
  readonly groups: readonly AclEntry[];
}

export interface NodeMetadata {
  /** st_mode: type and permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Nanoseconds since 1970; negative before. */
  readonly mtime: bigint;
  /** chattr, FAT and subvolume attributes, as the bits of the features that record them. */
  readonly attributes?: bigint;
  readonly user?: string;
  readonly group?: string;
  /** In bytewise order of their names. */
  readonly xattrs?: readonly Xattr[];
  readonly acl?: AccessAcl;
  readonly defaultAcl?: DefaultAcl;
  /** SELinux label without NUL. */
  readonly selinux?: Uint8Array;
  /** Raw `security.capability`. */
  readonly capability?: Uint8Array;
  /** Project id for quotas; 0 is not recorded. */
  readonly projectId?: number;
}

export interface CatarNode {
  readonly metadata: NodeMetadata;
  readonly content: NodeContent;
}

/** The part of a mode that tells the type. */
export const typeMask = 0o170_000;

const kinds: ReadonlyMap<number, NodeKind> = new Map<number, NodeKind>([
  [0o040_000, "directory"],
  [0o100_000, "file"],
  [0o120_000, "symlink"],
  [0o060_000, "block"],
  [0o020_000, "character"],
  [0o010_000, "fifo"],
  [0o140_000, "socket"],
]);

/** What a mode's type bits say, or undefined for bits that no type has. */
export function kindOfMode(mode: number): NodeKind | undefined {
  return kinds.get(mode & typeMask);
}

/** The feature without which an archive leaves nodes of this kind out; undefined: always recorded. */
export function featureOfKind(kind: NodeKind): bigint | undefined {
  switch (kind) {
    case "symlink":
      return features.symlinks;
    case "block":
    case "character":
      return features["device-nodes"];
    case "fifo":
      return features.fifos;
    case "socket":
      return features.sockets;
    default:
      return undefined;
  }
}

/** Whether an archive with these flags records nodes of this kind. */
export function recordsKind(flags: bigint, kind: NodeKind): boolean {
  const feature = featureOfKind(kind);
  return feature === undefined || (flags & feature) !== 0n;
}

/** Attributes, extended attributes and the like exist on files and directories only. */
export function takesAttributes(kind: NodeKind): boolean {
  return kind === "file" || kind === "directory";
}

/** Order of ACL entries in an archive: id, then name, then permissions. */
export function compareAclEntries(a: AclEntry, b: AclEntry): number {
  if (a.id !== b.id) return a.id - b.id;
  const [nameA, nameB] = [a.name ?? "", b.name ?? ""].map((name) => new TextEncoder().encode(name)) as [
    Uint8Array,
    Uint8Array,
  ];
  return compareBytes(nameA, nameB) || a.permissions - b.permissions;
}
