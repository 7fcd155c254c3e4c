/**
 * Owners between hosts: numbers become names where an archive is made, and names become the numbers
 * that they have where it is extracted. Root is 0 everywhere and never named.
 * @module
 */
import { EnvironmentError } from "@imgtool/core";
import { features } from "@imgtool/catar";
import { groupId, groupName, userId, userName } from "@imgtool/host";
import { type IdShift, shiftUp } from "./id-shift.ts";
import type { OwnerIds, Owners } from "./posix-acl.ts";

const ids = features["32bit-uids"] | features["16bit-uids"];

/** The names that an archive with these flags records; undefined where it records none. */
export function ownerNames(flags: bigint): Owners {
  if ((flags & features["user-names"]) === 0n) return { user: () => undefined, group: () => undefined };
  if ((flags & ids) !== 0n) return { user: userName, group: groupName };
  return { user: (uid) => userName(uid) ?? decimal(uid), group: (gid) => groupName(gid) ?? decimal(gid) };
}

/** Without ids, an owner that the host has no name for goes by the digits of its id. */
function decimal(id: number): string | undefined {
  return id === 0 ? undefined : String(id);
}

/**
 * The host's ids for owners in an archive with these flags: that of the name where it is known here,
 * else the archive's number. They throw EnvironmentError `owner-unknown` where there is no number:
 * falling back to 0 would give somebody's file to root.
 * @param idShift the range that numbers are moved to; the id of a known name stays, as in casync
 */
export function ownerIds(flags: bigint, idShift?: IdShift): OwnerIds {
  return { user: idOf("user", userId, flags, idShift), group: idOf("group", groupId, flags, idShift) };
}

function idOf(
  what: string,
  find: (name: string) => number | undefined,
  flags: bigint,
  idShift: IdShift | undefined,
): OwnerIds["user"] {
  return (id, name) => {
    if (name === undefined) return shiftUp(id, idShift);
    const found = find(name);
    if (found !== undefined) return found;
    if ((flags & ids) !== 0n) return shiftUp(id, idShift);
    if (/^[0-9]{1,10}$/.test(name)) return shiftUp(Number(name), idShift);
    throw new EnvironmentError(`the archive names the ${what} "${name}", whom this machine does not know`, {
      code: "owner-unknown",
      hint: `create the ${what}, or make the archive with the feature 32bit-uids`,
      data: { [what]: name },
    });
  };
}
