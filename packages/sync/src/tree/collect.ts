/**
 * Collects what an archive records about one node of a file system.
 * @module
 */
import { compareBytes } from "@imgtool/core";
import {
  features,
  isRecordedXattr,
  kindOfMode,
  takesAttributes,
  type CatarNode,
  type NodeContent,
  type NodeMetadata,
} from "@imgtool/catar";
import { getProjectId, getXattr, listXattrs, readlinkat, type FileStatus, type XattrTarget } from "@imgtool/host";
import { orNone } from "./attributes.ts";
import { type IdShift, shiftDown } from "./id-shift.ts";
import { ownerNames } from "./owners.ts";
import { parseAccessAcl, parseDefaultAcl } from "./posix-acl.ts";

/** File systems that know project ids: ext4, XFS, FUSE. */
export const quotaTypes: ReadonlySet<number> = new Set([0xef53, 0x5846_5342, 0x6573_5546]);

const xattrFeatures = features.xattrs | features.acl | features.selinux | features.fcaps;

export interface NodePlace {
  /** Descriptor of the directory that holds the node. */
  readonly directory: number;
  readonly name: Buffer;
  /** Descriptor of the node itself: files and directories are opened, nothing else is. */
  readonly descriptor: number | undefined;
  readonly status: FileStatus;
  /** Of files and directories: magic number of their file system, and what readAttributes() says. */
  readonly fileSystem?: number;
  readonly attributes?: bigint;
}

/** The node with everything that the feature flags ask for and the file system knows. */
export function collectNode(place: NodePlace, flags: bigint, idShift?: IdShift): CatarNode {
  const { status } = place;
  const content = contentOf(place);
  const owners = ownerNames(flags);
  const user = owners.user(status.uid);
  const group = owners.group(status.gid);
  const metadata: NodeMetadata = {
    mode: status.mode,
    uid: status.uid,
    gid: status.gid,
    mtime: status.mtime,
    ...(user === undefined ? {} : { user }),
    ...(group === undefined ? {} : { group }),
    ...collectAttributes(place, flags),
    ...collectXattrs(place, content.kind, flags),
  };
  // Names are those of the host's ids: casync looks them up before it shifts.
  return { metadata: idShift === undefined ? metadata : shiftDown(metadata, idShift), content };
}

function contentOf(place: NodePlace): NodeContent {
  const { status } = place;
  const kind = kindOfMode(status.mode) ?? "socket";
  switch (kind) {
    case "file":
      return { kind, size: status.size };
    case "symlink":
      return { kind, target: readlinkat(place.directory, place.name) };
    case "block":
    case "character":
      return { kind, major: status.deviceMajor, minor: status.deviceMinor };
    default:
      return { kind };
  }
}

function collectAttributes(place: NodePlace, flags: bigint): Pick<NodeMetadata, "attributes" | "projectId"> {
  const { descriptor, fileSystem = 0, attributes } = place;
  const wantsProject = (flags & features["quota-projid"]) !== 0n && quotaTypes.has(fileSystem);
  const projectId = descriptor !== undefined && wantsProject ? orNone(() => getProjectId(descriptor)) : 0;
  return {
    ...(attributes === undefined ? {} : { attributes }),
    ...(projectId === 0 ? {} : { projectId }),
  };
}

function collectXattrs(
  place: NodePlace,
  kind: NodeContent["kind"],
  flags: bigint,
): Pick<NodeMetadata, "xattrs" | "acl" | "defaultAcl" | "selinux" | "capability"> {
  if ((flags & xattrFeatures) === 0n) return {};
  const target = xattrTarget(place);
  const names = listXattrs(target);
  if (names.length === 0) return {};
  const value = (name: string): Buffer | undefined =>
    names.some((one) => one.toString("latin1") === name) ? getXattr(target, name) : undefined;
  const has = (feature: bigint): boolean => (flags & feature) !== 0n;

  const aclValue = kind !== "symlink" && has(features.acl) ? value("system.posix_acl_access") : undefined;
  const acl = aclValue === undefined ? undefined : parseAccessAcl(aclValue, ownerNames(flags));
  const defaultValue = kind === "directory" && has(features.acl) ? value("system.posix_acl_default") : undefined;
  const defaultAcl = defaultValue === undefined ? undefined : parseDefaultAcl(defaultValue, ownerNames(flags));
  const label = has(features.selinux) ? upToNul(value("security.selinux")) : undefined;
  const capability = kind === "file" && has(features.fcaps) ? value("security.capability") : undefined;
  const xattrs =
    takesAttributes(kind) && has(features.xattrs)
      ? names
          .filter(isRecordedXattr)
          .sort(compareBytes)
          .flatMap((name) => {
            const bytes = getXattr(target, name);
            return bytes === undefined ? [] : [{ name, value: bytes }];
          })
      : [];
  return {
    ...(xattrs.length === 0 ? {} : { xattrs }),
    ...(acl === undefined ? {} : { acl }),
    ...(defaultAcl === undefined ? {} : { defaultAcl }),
    ...(label === undefined || label.length === 0 ? {} : { selinux: label }),
    ...(capability === undefined ? {} : { capability }),
  };
}

/** How the attributes of a node are reached: those of special nodes and symlinks by path only. */
export function xattrTarget(place: Pick<NodePlace, "descriptor" | "directory" | "name">): XattrTarget {
  return place.descriptor ?? Buffer.concat([Buffer.from(`/proc/self/fd/${place.directory}/`), place.name]);
}

/** A label as casync reads it: a C string, whose NUL some have and some have not. */
function upToNul(label: Buffer | undefined): Buffer | undefined {
  const end = label?.indexOf(0) ?? -1;
  return end < 0 ? label : label?.subarray(0, end);
}
