/**
 * POSIX access control lists as the kernel keeps them in extended attributes (`system.posix_acl_access`
 * and `_default`): u32 version 2, then {u16 tag, u16 permissions, u32 id} for each entry.
 * @module
 */
import { compareAclEntries, type AccessAcl, type AclEntry, type DefaultAcl } from "@imgtool/catar";

const version = 2;
const tags = { userObject: 0x1, user: 0x2, groupObject: 0x4, group: 0x8, mask: 0x10, other: 0x20 } as const;
const noId = 0xffff_ffff;

interface RawAcl {
  readonly users: readonly { readonly id: number; readonly permissions: number }[];
  readonly groups: readonly { readonly id: number; readonly permissions: number }[];
  readonly single: ReadonlyMap<number, number>;
}

/** Names for ids; undefined where the host knows none. */
export interface Owners {
  readonly user: (uid: number) => string | undefined;
  readonly group: (gid: number) => string | undefined;
}

function parse(value: Uint8Array): RawAcl | undefined {
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  if (value.length < 4 || view.getUint32(0, true) !== version) return undefined;
  const users: { id: number; permissions: number }[] = [];
  const groups: { id: number; permissions: number }[] = [];
  const single = new Map<number, number>();
  for (let at = 4; at + 8 <= value.length; at += 8) {
    const tag = view.getUint16(at, true);
    const permissions = view.getUint16(at + 2, true);
    const id = view.getUint32(at + 4, true);
    if (tag === tags.user) users.push({ id, permissions });
    else if (tag === tags.group) groups.push({ id, permissions });
    else single.set(tag, permissions);
  }
  return { users, groups, single };
}

/** The access list in an attribute's value; undefined when it says no more than the mode. */
export function parseAccessAcl(value: Uint8Array, owners: Owners): AccessAcl | undefined {
  const raw = parse(value);
  if (raw === undefined) return undefined;
  const groupObject = raw.single.get(tags.groupObject);
  const acl = {
    users: named(raw.users, owners.user),
    groups: named(raw.groups, owners.group),
    ...(raw.single.has(tags.mask) && groupObject !== undefined ? { groupObject } : {}),
  };
  return acl.users.length === 0 && acl.groups.length === 0 && acl.groupObject === undefined ? undefined : acl;
}

/** The default list in an attribute's value. */
export function parseDefaultAcl(value: Uint8Array, owners: Owners): DefaultAcl | undefined {
  const raw = parse(value);
  if (raw === undefined) return undefined;
  const of = (tag: number, key: "user" | "group" | "other" | "mask"): Partial<Record<typeof key, number>> => {
    const permissions = raw.single.get(tag);
    return permissions === undefined ? {} : { [key]: permissions };
  };
  return {
    ...of(tags.userObject, "user"),
    ...of(tags.groupObject, "group"),
    ...of(tags.other, "other"),
    ...of(tags.mask, "mask"),
    users: named(raw.users, owners.user),
    groups: named(raw.groups, owners.group),
  };
}

/** The attribute's value for an access list; the mode has the owner's and others' permissions, and the mask. */
export function formatAccessAcl(acl: AccessAcl, mode: number, ids: OwnerIds): Buffer {
  return format([
    [tags.userObject, (mode >> 6) & 7, noId],
    ...entries(tags.user, acl.users, ids.user),
    [tags.groupObject, acl.groupObject ?? (mode >> 3) & 7, noId],
    ...entries(tags.group, acl.groups, ids.group),
    [tags.mask, (mode >> 3) & 7, noId],
    [tags.other, mode & 7, noId],
  ]);
}

/** The attribute's value for a default list. */
export function formatDefaultAcl(acl: DefaultAcl, ids: OwnerIds): Buffer {
  return format([
    ...one(tags.userObject, acl.user),
    ...entries(tags.user, acl.users, ids.user),
    ...one(tags.groupObject, acl.group),
    ...entries(tags.group, acl.groups, ids.group),
    ...one(tags.mask, acl.mask),
    ...one(tags.other, acl.other),
  ]);
}

/** Ids on this host for an id and perhaps a name from an archive. */
export interface OwnerIds {
  readonly user: (id: number, name: string | undefined) => number;
  readonly group: (id: number, name: string | undefined) => number;
}

function one(tag: number, permissions: number | undefined): [number, number, number][] {
  return permissions === undefined ? [] : [[tag, permissions, noId]];
}

function named(
  raw: readonly { readonly id: number; readonly permissions: number }[],
  nameOf: (id: number) => string | undefined,
): AclEntry[] {
  return raw
    .map((entry) => {
      const name = nameOf(entry.id);
      return name === undefined ? entry : { ...entry, name };
    })
    .sort(compareAclEntries);
}

function entries(
  tag: number,
  list: readonly AclEntry[],
  idOf: (id: number, name: string | undefined) => number,
): [number, number, number][] {
  // the kernel wants ids in order, which names may have changed
  return list
    .map((entry): [number, number, number] => [tag, entry.permissions, idOf(entry.id, entry.name)])
    .sort((a, b) => a[2] - b[2]);
}

function format(rows: readonly (readonly [tag: number, permissions: number, id: number])[]): Buffer {
  const value = Buffer.alloc(4 + 8 * rows.length);
  value.writeUInt32LE(version, 0);
  for (const [index, [tag, permissions, id]] of rows.entries()) {
    value.writeUInt16LE(tag, 4 + 8 * index);
    value.writeUInt16LE(permissions, 6 + 8 * index);
    value.writeUInt32LE(id, 8 + 8 * index);
  }
  return value;
}
