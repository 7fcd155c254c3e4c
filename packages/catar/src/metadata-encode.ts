/**
 * A node's metadata as records, in the order that the format demands.
 * @module
 */
import { encodeNumbers, encodeText, terminated } from "./fields.ts";
import type { AccessAcl, AclEntry, DefaultAcl, NodeMetadata } from "./node.ts";
import { encodeRecord, type RecordName } from "./records.ts";
import { concatBytes } from "@imgtool/core";

/** Stands for a permission that a default ACL has no entry for. */
const absent = (1n << 64n) - 1n;

/**
 * ENTRY and the metadata records behind it, up to but without PAYLOAD, SYMLINK, DEVICE or children.
 * @param metadata as reduceMetadata returns it for the same flags
 */
export function encodeMetadata(metadata: NodeMetadata, flags: bigint): Uint8Array<ArrayBuffer>[] {
  const records = [encodeEntry(metadata, flags)];
  const add = (name: RecordName, body: Uint8Array | undefined): void => {
    if (body !== undefined) records.push(encodeRecord(name, body));
  };
  add("user", text(metadata.user));
  add("group", text(metadata.group));
  for (const xattr of metadata.xattrs ?? []) add("xattr", concatBytes([terminated(xattr.name), xattr.value]));
  records.push(...encodeAccessAcl(metadata.acl), ...encodeDefaultAcl(metadata.defaultAcl));
  add("selinux", metadata.selinux === undefined ? undefined : terminated(metadata.selinux));
  add("fcaps", metadata.capability);
  add("quota-projid", metadata.projectId === undefined ? undefined : encodeNumbers(BigInt(metadata.projectId)));
  return records;
}

function encodeEntry(metadata: NodeMetadata, flags: bigint): Uint8Array<ArrayBuffer> {
  return encodeRecord(
    "entry",
    encodeNumbers(
      flags,
      BigInt(metadata.mode),
      metadata.attributes ?? 0n,
      BigInt(metadata.uid),
      BigInt(metadata.gid),
      metadata.mtime,
    ),
  );
}

function encodeAccessAcl(acl: AccessAcl | undefined): Uint8Array<ArrayBuffer>[] {
  if (acl === undefined) return [];
  return [
    ...encodeAclEntries("acl-user", acl.users),
    ...encodeAclEntries("acl-group", acl.groups),
    ...(acl.groupObject === undefined ? [] : [encodeRecord("acl-group-obj", encodeNumbers(BigInt(acl.groupObject)))]),
  ];
}

function encodeDefaultAcl(acl: DefaultAcl | undefined): Uint8Array<ArrayBuffer>[] {
  if (acl === undefined) return [];
  const permissions = [acl.user, acl.group, acl.other, acl.mask].map((value) =>
    value === undefined ? absent : BigInt(value),
  );
  return [
    encodeRecord("acl-default", encodeNumbers(...permissions)),
    ...encodeAclEntries("acl-default-user", acl.users),
    ...encodeAclEntries("acl-default-group", acl.groups),
  ];
}

function encodeAclEntries(name: RecordName, entries: readonly AclEntry[]): Uint8Array<ArrayBuffer>[] {
  return entries.map((entry) =>
    encodeRecord(
      name,
      concatBytes([encodeNumbers(BigInt(entry.id), BigInt(entry.permissions)), text(entry.name) ?? new Uint8Array(0)]),
    ),
  );
}

function text(value: string | undefined): Uint8Array<ArrayBuffer> | undefined {
  return value === undefined ? undefined : encodeText(value);
}
