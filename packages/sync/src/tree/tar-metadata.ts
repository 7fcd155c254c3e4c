/**
 * What a tar member says, as an archive records it: the same as of the file that GNU tar extracts as
 * root with `--xattrs --xattrs-include='*' --acls --selinux`.
 * @module
 */
import { FormatError, compareBytes } from "@imgtool/core";
import {
  type AccessAcl,
  type AclEntry,
  type CatarNode,
  compareAclEntries,
  features,
  isRecordedXattr,
  type NodeContent,
  type NodeMetadata,
} from "@imgtool/catar";
import { groupId, userId } from "@imgtool/host";
import type { TarMember } from "@imgtool/tar";
import { ownerNames } from "./owners.ts";

const typeBits: Readonly<Record<NodeContent["kind"], number>> = {
  file: 0o100_000,
  directory: 0o040_000,
  symlink: 0o120_000,
  block: 0o060_000,
  character: 0o020_000,
  fifo: 0o010_000,
  socket: 0o140_000,
};

/** A directory that no member describes. */
export const impliedDirectory: CatarNode = {
  metadata: { mode: 0o040_755, uid: 0, gid: 0, mtime: 0n },
  content: { kind: "directory" },
};

/** The node of a member. Owners that this machine knows by name have its ids, as tar extracts them. */
export function tarNode(member: TarMember, flags: bigint): CatarNode {
  const content = contentOf(member);
  const { kind } = content;
  const uid = (member.user === "" ? undefined : userId(member.user)) ?? member.uid;
  const gid = (member.group === "" ? undefined : groupId(member.group)) ?? member.gid;
  const names = ownerNames(flags);
  const [user, group] = [names.user(uid), names.group(gid)];
  const acl = member.acl === undefined || kind === "symlink" ? undefined : parseAcl(member.acl, member, flags);
  const defaults = member.defaultAcl === undefined ? undefined : parseAcl(member.defaultAcl, member, flags);
  const metadata: NodeMetadata = {
    mode: typeBits[kind] | modeOf(member, kind, acl),
    uid,
    gid,
    mtime: member.mtime,
    ...(user === undefined ? {} : { user }),
    ...(group === undefined ? {} : { group }),
    ...xattrsOf(member, kind, flags),
    ...accessOf(acl),
    ...(kind === "directory" && defaults !== undefined ? { defaultAcl: defaults } : {}),
    ...(member.selinux === undefined ? {} : { selinux: Buffer.from(member.selinux.replace(/\0$/, "")) }),
  };
  return { metadata, content };
}

function contentOf(member: TarMember): NodeContent {
  const { kind, major, minor } = member;
  switch (kind) {
    case "file":
      return { kind, size: member.size };
    case "symlink":
      return { kind, target: member.target };
    case "block-device":
      return { kind: "block", major, minor };
    case "character-device":
      return { kind: "character", major, minor };
    case "hardlink":
      throw new RangeError("a hard link has no content of its own");
    default:
      return { kind };
  }
}

/** The kernel keeps an access list's owner, mask and others in the mode. */
function modeOf(member: TarMember, kind: NodeContent["kind"], acl: ParsedAcl | undefined): number {
  if (kind === "symlink") return 0o777;
  if (acl === undefined) return member.mode;
  const { user = 0, group = 0, other = 0, mask } = acl;
  return (member.mode & 0o7000) | (user << 6) | ((mask ?? group) << 3) | other;
}

function accessOf(acl: ParsedAcl | undefined): { readonly acl?: AccessAcl } {
  if (acl === undefined || (acl.users.length === 0 && acl.groups.length === 0 && acl.mask === undefined)) return {};
  const { users, groups, group, mask } = acl;
  return { acl: { users, groups, ...(mask === undefined || group === undefined ? {} : { groupObject: group }) } };
}

interface ParsedAcl {
  user?: number;
  group?: number;
  other?: number;
  mask?: number;
  users: AclEntry[];
  groups: AclEntry[];
}

/**
 * The text form of acl(5), entries parted by commas or lines; star adds the number as a fourth field.
 * @throws FormatError `tar-acl`
 */
function parseAcl(text: string, member: TarMember, flags: bigint): ParsedAcl {
  const acl: ParsedAcl = { users: [], groups: [] };
  const names = ownerNames(flags);
  for (const line of text.split(/[,\n]/)) {
    const entry = line.replace(/#.*$/, "").trim();
    if (entry === "") continue;
    const [tag = "", qualifier = "", permissions = "", number] = entry.split(":");
    if (!/^[r-][w-][x-]$/.test(permissions)) throw wrongAcl(entry, member);
    const bits = (permissions[0] === "r" ? 4 : 0) | (permissions[1] === "w" ? 2 : 0) | (permissions[2] === "x" ? 1 : 0);
    if (qualifier === "") {
      const key = (
        {
          user: "user",
          u: "user",
          group: "group",
          g: "group",
          other: "other",
          o: "other",
          mask: "mask",
          m: "mask",
        } as const
      )[tag];
      if (key === undefined) throw wrongAcl(entry, member);
      acl[key] = bits;
      continue;
    }
    const isUser = tag === "user" || tag === "u";
    if (!isUser && tag !== "group" && tag !== "g") throw wrongAcl(entry, member);
    const known = isUser ? userId(qualifier) : groupId(qualifier);
    const id = known ?? Number(/^[0-9]{1,10}$/.test(qualifier) ? qualifier : (number ?? NaN));
    if (!Number.isInteger(id) || id < 0 || id > 0xffff_fffe) throw wrongAcl(entry, member);
    const name = isUser ? names.user(id) : names.group(id);
    (isUser ? acl.users : acl.groups).push({ id, permissions: bits, ...(name === undefined ? {} : { name }) });
  }
  acl.users.sort(compareAclEntries);
  acl.groups.sort(compareAclEntries);
  return acl;
}

function wrongAcl(entry: string, member: TarMember): FormatError {
  const path = Buffer.from(member.path).toString("utf8");
  return new FormatError(`tar archive: ${path}: not an entry of an access control list: ${JSON.stringify(entry)}`, {
    code: "tar-acl",
    hint: "user and group names in lists have to be known on this machine, unless their numbers are there",
    data: { path, found: entry },
  });
}

function xattrsOf(
  member: TarMember,
  kind: NodeContent["kind"],
  flags: bigint,
): Pick<NodeMetadata, "xattrs" | "capability"> {
  if (kind !== "file" && kind !== "directory") return {};
  const named = member.xattrs.map(({ name, value }) => ({ name: Buffer.from(name, "latin1"), value }));
  const xattrs = named.filter(({ name }) => isRecordedXattr(name)).sort((a, b) => compareBytes(a.name, b.name));
  const capability = member.xattrs.find(({ name }) => name === "security.capability")?.value;
  return {
    ...(xattrs.length === 0 || (flags & features.xattrs) === 0n ? {} : { xattrs }),
    ...(capability === undefined || kind !== "file" ? {} : { capability }),
  };
}
