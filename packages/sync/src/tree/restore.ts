/**
 * Gives a node the metadata that an archive recorded, in the order in which one does not undo the
 * other: owner (which clears set-id bits and capabilities), mode, extended attributes, time, and the
 * attributes that forbid changes last.
 * @module
 */
import { features, featureSets, isRecordedXattr, timeMask, type CatarNode, type NodeMetadata } from "@imgtool/catar";
import {
  fchmodat,
  fchownat,
  listXattrs,
  removeXattr,
  setMtime,
  setProjectId,
  setXattr,
  type PathLike,
  type XattrTarget,
} from "@imgtool/host";
import { systemErrorCode } from "@imgtool/core";
import { writeAttributes } from "./attributes.ts";
import { xattrTarget } from "./collect.ts";
import type { IdShift } from "./id-shift.ts";
import { ownerIds } from "./owners.ts";
import { formatAccessAcl, formatDefaultAcl } from "./posix-acl.ts";

const setIdBits = 0o6000;

export interface RestoreTarget {
  /** Directory that holds the node. */
  readonly directory: number;
  readonly name: Buffer;
  /** Of the node itself, for files and directories. */
  readonly descriptor: number | undefined;
}

export interface RestoreContext {
  /** The archive's feature flags: what they do not record is left as it is. */
  readonly flags: bigint;
  /** Whether owners, and what only root may set, are restored. */
  readonly privileged: boolean;
  /** Range of ids that owners are moved to. */
  readonly idShift?: IdShift | undefined;
  /** The process's umask, for modes that are not recorded. */
  readonly umask: number;
  /** Told once for each kind of metadata that could not be restored. */
  readonly onSkipped: (what: string, reason: string) => void;
}

export function restoreMetadata(target: RestoreTarget, node: CatarNode, context: RestoreContext): void {
  const { metadata, content } = node;
  const { flags, privileged } = context;
  // The node itself where it is open, else its name, which is never followed.
  const [directory, path]: readonly [number, PathLike] =
    target.descriptor === undefined ? [target.directory, target.name] : [target.descriptor, ""];

  const owned =
    privileged && (flags & (features["32bit-uids"] | features["16bit-uids"] | features["user-names"])) !== 0n;
  if (owned) {
    const ids = ownerIds(flags, context.idShift);
    fchownat(directory, path, ids.user(metadata.uid, metadata.user), ids.group(metadata.gid, metadata.group));
  }
  if (content.kind !== "symlink") {
    fchmodat(directory, path, permissions(metadata.mode, context));
    restoreXattrs(xattrTarget(target), node, context);
  }
  if ((flags & timeMask) !== 0n) setMtime(directory, path, metadata.mtime);
  if (target.descriptor !== undefined) restoreAttributes(target.descriptor, metadata, context);
}

function permissions(mode: number, context: RestoreContext): number {
  const recorded = (context.flags & (features.permissions | features.acl)) !== 0n;
  if (!recorded) return mode & 0o777 & ~context.umask;
  // A set-id bit is meant for the recorded owner: what becomes ours instead must not have it.
  return mode & 0o7777 & (context.privileged ? 0o7777 : ~setIdBits);
}

function restoreXattrs(target: XattrTarget, node: CatarNode, context: RestoreContext): void {
  const { flags, privileged, onSkipped } = context;
  const wanted = wantedXattrs(node, context);
  const managed = (name: Buffer): boolean =>
    ((flags & features.xattrs) !== 0n && isRecordedXattr(name)) ||
    ((flags & features.acl) !== 0n && name.toString("latin1").startsWith("system.posix_acl_")) ||
    ((flags & features.fcaps) !== 0n && name.toString("latin1") === "security.capability");
  // Attributes that an older file had, or that a new one inherited.
  for (const name of listXattrs(target)) {
    if (managed(name) && !wanted.has(name.toString("latin1"))) removeXattr(target, name);
  }
  for (const [key, value] of wanted) {
    const needsRoot = key.startsWith("trusted.") || key.startsWith("security.");
    if (needsRoot && !privileged) {
      onSkipped(`extended attributes ${key.slice(0, key.indexOf("."))}.*`, "only root can set them");
      continue;
    }
    try {
      setXattr(target, Buffer.from(key, "latin1"), value);
    } catch (error) {
      if (systemErrorCode(error) !== "ENOTSUP") throw error;
      onSkipped(`extended attributes ${key.slice(0, key.indexOf("."))}.*`, "the file system has none");
    }
  }
}

/** Extended attributes that an archive records of a node: values by name, as Latin-1 text. */
export function wantedXattrs(
  { metadata, content }: CatarNode,
  context: Pick<RestoreContext, "flags" | "idShift">,
): ReadonlyMap<string, Uint8Array> {
  const { flags, idShift } = context;
  const wanted = new Map<string, Uint8Array>();
  for (const { name, value } of metadata.xattrs ?? []) wanted.set(Buffer.from(name).toString("latin1"), value);
  if (metadata.acl !== undefined) {
    wanted.set("system.posix_acl_access", formatAccessAcl(metadata.acl, metadata.mode, ownerIds(flags, idShift)));
  }
  if (metadata.defaultAcl !== undefined) {
    wanted.set("system.posix_acl_default", formatDefaultAcl(metadata.defaultAcl, ownerIds(flags, idShift)));
  }
  if (metadata.capability !== undefined) wanted.set("security.capability", metadata.capability);
  if (metadata.selinux !== undefined && content.kind !== "symlink" && (flags & features.selinux) !== 0n) {
    wanted.set("security.selinux", Buffer.concat([metadata.selinux, Buffer.alloc(1)]));
  }
  return wanted;
}

function restoreAttributes(descriptor: number, metadata: NodeMetadata, context: RestoreContext): void {
  const { flags, privileged, onSkipped } = context;
  if (metadata.projectId !== undefined) {
    try {
      setProjectId(descriptor, metadata.projectId);
    } catch (error) {
      if (!["ENOTSUP", "ENOTTY", "EPERM", "EINVAL"].includes(systemErrorCode(error) ?? "")) throw error;
      onSkipped("project ids", "the file system or the lack of privilege forbids it");
    }
  }
  const attributes = metadata.attributes ?? 0n;
  if ((flags & (featureSets.chattr | featureSets["fat-attrs"])) === 0n) return;
  if (!privileged && attributes === 0n) return;
  if (!writeAttributes(descriptor, attributes, flags) && attributes !== 0n) {
    onSkipped("attributes of chattr and FAT", "the file system has none");
  }
}
