/**
 * Owners of containers: their ids stand in a range of the host's that begins at a multiple of 65536,
 * and an archive has them as the container sees them.
 * @module
 */
import { statSync } from "node:fs";
import { ConfigError } from "@imgtool/core";
import type { AclEntry, NodeMetadata } from "@imgtool/catar";

/** A range of the host's user and group ids. */
export interface IdShift {
  /** The host's id that the archive calls 0. */
  readonly shift: number;
  /** How many ids there are; what is beyond wraps. */
  readonly range: number;
  /** Whether owners before the range wrap, too, instead of being an error: for seeds. */
  readonly wraps?: boolean;
}

/** casync's, and that of containers: as many ids as 16 bits tell. */
export const defaultIdRange: number = 0x1_0000;

/** The shift of a container's tree, which the owner of its root tells. */
export function shiftOfDirectory(path: string): number {
  const uid = statSync(path, { throwIfNoEntry: false })?.uid ?? 0;
  return uid - (uid % defaultIdRange);
}

/**
 * Metadata with ids as the archive has them. Ids of access control lists wrap, as in casync.
 * @throws ConfigError `id-below-shift` for an owner that is before the range
 */
export function shiftDown(metadata: NodeMetadata, ids: IdShift): NodeMetadata {
  const entry = (one: AclEntry): AclEntry => ({ ...one, id: wrapped(one.id, ids) });
  const list = <Acl extends { readonly users: readonly AclEntry[]; readonly groups: readonly AclEntry[] }>(
    acl: Acl,
  ): Acl => ({
    ...acl,
    users: acl.users.map(entry),
    groups: acl.groups.map(entry),
  });
  return {
    ...metadata,
    uid: down(metadata.uid, "user", ids),
    gid: down(metadata.gid, "group", ids),
    ...(metadata.acl === undefined ? {} : { acl: list(metadata.acl) }),
    ...(metadata.defaultAcl === undefined ? {} : { defaultAcl: list(metadata.defaultAcl) }),
  };
}

function wrapped(id: number, { shift, range }: IdShift): number {
  return ((id - shift + 2 ** 32) % 2 ** 32) % range;
}

function down(id: number, what: string, ids: IdShift): number {
  const { shift } = ids;
  if (id >= shift || ids.wraps === true) return wrapped(id, ids);
  throw new ConfigError(`the ${what} ${id} is before the range of ids: expected at least ${shift}`, {
    code: "id-below-shift",
    hint: "hand in the shift of the tree, or none",
    data: { found: id, expected: shift },
  });
}

/** The host's id for one that an archive has. */
export function shiftUp(id: number, ids: IdShift | undefined): number {
  return ids === undefined ? id : ids.shift + (id % ids.range);
}
