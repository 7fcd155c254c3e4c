/**
 * A tree as a tar archive: GNU tar, run as root with `--xattrs --xattrs-include='*' --acls`, extracts the
 * tree that extractTree() restores. Equal trees give equal bytes.
 * @module
 */
import { type Progress, silentProgress, throwIfAborted } from "@imgtool/core";
import { type AccessAcl, type CatarEvent, type CatarNode, type DefaultAcl, features } from "@imgtool/catar";
import { encodeTar, type ExtendedAttribute, type TarEntry } from "@imgtool/tar";
import { PathTracker } from "./list-tree.ts";
import { ownerIds } from "./owners.ts";
import { archiveEvents, type TreeSource } from "./tree-source.ts";

export interface ExportTarOptions {
  readonly source: TreeSource;
  readonly progress?: Progress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The bytes of the tar archive, in pieces. Sockets and what tar has no words for (chattr's and FAT's
 * attributes, project ids) are left out, with a warning.
 * @throws as archiveEvents(); FormatError `tar-entry-invalid`; EnvironmentError `owner-unknown`
 */
export function exportTar(options: ExportTarOptions): AsyncGenerator<Uint8Array, void> {
  return encodeTar(entries(options));
}

type Entered = Extract<CatarEvent, { readonly type: "entry" }>;

async function* entries({
  source,
  progress = silentProgress,
  signal,
}: ExportTarOptions): AsyncGenerator<TarEntry, void> {
  let flags = 0n;
  const events = archiveEvents(source, signal, (found) => (flags = found));
  const paths = new PathTracker(source);
  const told = new Set<string>();
  const warn = (what: string): void => {
    if (!told.has(what)) progress.log("warning", `${what} have no place in a tar archive: left out`);
    told.add(what);
  };
  try {
    for (let next = await events.next(); next.done !== true; next = await events.next()) {
      throwIfAborted(signal);
      if (next.value.type !== "entry") continue;
      const path = paths.enter(next.value);
      const { metadata, content } = next.value.node;
      if ((metadata.attributes ?? 0n) !== 0n) warn("attributes of chattr and FAT");
      if (metadata.projectId !== undefined) warn("project ids");
      if (content.kind === "socket") warn("sockets");
      const entry = path === undefined ? undefined : tarEntry(path, next.value, flags, events);
      if (entry !== undefined) yield entry;
    }
  } finally {
    await events.return();
  }
}

function tarEntry(
  path: Buffer,
  { node }: Entered,
  flags: bigint,
  events: AsyncGenerator<CatarEvent, void>,
): TarEntry | undefined {
  const { metadata, content } = node;
  const ids = ownerIds(flags);
  const common = {
    path: path.toString("latin1") === "." ? Buffer.from("./") : Buffer.concat([Buffer.from("./"), path]),
    mode: metadata.mode & 0o7777,
    uid: ids.user(metadata.uid, metadata.user),
    gid: ids.group(metadata.gid, metadata.group),
    mtime: metadata.mtime,
    xattrs: xattrsOf(node, flags),
    ...(metadata.acl === undefined ? {} : { acl: accessText(metadata.acl, metadata.mode, flags) }),
    ...(metadata.defaultAcl === undefined ? {} : { defaultAcl: aclText(metadata.defaultAcl, flags) }),
  };
  switch (content.kind) {
    case "file":
      return { ...common, kind: "file", size: content.size, content: payload(events, content.size) };
    case "symlink":
      return { ...common, kind: "symlink", target: content.target };
    case "block":
      return { ...common, kind: "block-device", major: content.major, minor: content.minor };
    case "character":
      return { ...common, kind: "character-device", major: content.major, minor: content.minor };
    case "socket":
      return undefined;
    default:
      return { ...common, kind: content.kind };
  }
}

/** The bytes of the file that was entered last. */
async function* payload(events: AsyncGenerator<CatarEvent, void>, size: number): AsyncGenerator<Uint8Array, void> {
  for (let left = size; left > 0;) {
    const { value, done } = await events.next();
    if (done === true || value.type !== "payload") return;
    left -= value.bytes.length;
    yield value.bytes;
  }
}

function xattrsOf({ metadata }: CatarNode, flags: bigint): readonly ExtendedAttribute[] {
  const { xattrs = [], capability, selinux } = metadata;
  return [
    ...xattrs.map(({ name, value }) => ({ name: Buffer.from(name).toString("latin1"), value })),
    ...(capability === undefined ? [] : [{ name: "security.capability", value: capability }]),
    ...(selinux === undefined || (flags & features.selinux) === 0n
      ? []
      : [{ name: "security.selinux", value: Buffer.concat([selinux, Buffer.alloc(1)]) }]),
  ];
}

function accessText(acl: AccessAcl, mode: number, flags: bigint): string {
  const group = acl.groupObject ?? (mode >> 3) & 7;
  return aclText({ ...acl, user: (mode >> 6) & 7, group, mask: (mode >> 3) & 7, other: mode & 7 }, flags);
}

/** The text form of acl(5), with numbers for names. */
function aclText(acl: DefaultAcl, flags: bigint): string {
  const ids = ownerIds(flags);
  return [
    ...single("user", acl.user),
    ...acl.users.map(({ id, name, permissions }) => `user:${ids.user(id, name)}:${permissionText(permissions)}`),
    ...single("group", acl.group),
    ...acl.groups.map(({ id, name, permissions }) => `group:${ids.group(id, name)}:${permissionText(permissions)}`),
    ...single("mask", acl.mask),
    ...single("other", acl.other),
  ].join(",");
}

function single(tag: string, bits: number | undefined): readonly string[] {
  return bits === undefined ? [] : [`${tag}::${permissionText(bits)}`];
}

function permissionText(bits: number): string {
  return `${(bits & 4) === 0 ? "-" : "r"}${(bits & 2) === 0 ? "-" : "w"}${(bits & 1) === 0 ? "-" : "x"}`;
}
