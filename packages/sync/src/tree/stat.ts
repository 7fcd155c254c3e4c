/**
 * What `casync stat` prints: everything that an archive records of one node.
 * @module
 */
import { createHash } from "node:crypto";
import { closeSync } from "node:fs";
import { type CatarEvent, type CatarNode, features, kindOfMode, timeMask } from "@imgtool/catar";
import { digestOfFlags } from "@imgtool/chunker";
import { AT_FDCWD, fileSystemType, getProjectId, openat, openFlags, statx } from "@imgtool/host";
import { orNone } from "./attributes.ts";
import { quotaTypes } from "./collect.ts";
import { escapePath, formatMode, PathTracker } from "./list-tree.ts";
import { type HostOwners, ownersOf } from "./mtree.ts";
import { skimNodes } from "./skim.ts";
import { archiveEvents, type TreeSource } from "./tree-source.ts";

export interface NodeStatus {
  /** Names from the root on, joined by slashes; "." for the root. */
  readonly path: Buffer;
  readonly node: CatarNode;
  /** The archive's feature flags. */
  readonly flags: bigint;
  /** The host's ids of the owners of a directory that is there, which the node has as an archive calls them. */
  readonly host?: HostOwners;
  /** Offset of the node's ENTRY in the archive. */
  readonly offset: number;
  /** Digest of the content of a file, hexadecimal. */
  readonly digest?: string;
  /** Digest of the node's part of the archive: equal for files that could be one file with two names. */
  readonly nodeDigest?: string;
}

export interface StatOptions {
  /** Whether files have digests of their contents, which are read for it. Default true. */
  readonly contentDigests?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The status of the root of a tree, or of the node that openSubtree() has found.
 * @throws as archiveEvents()
 */
export async function statTree(source: TreeSource, options: StatOptions = {}): Promise<NodeStatus> {
  const { contentDigests = true, signal } = options;
  const { event, flags, path } = await firstNode(source, signal);
  const status = {
    path,
    flags,
    ...("directory" in source ? statDirectory(event.node, flags, source.directory) : { node: event.node }),
  };
  if (!("subtree" in source) || source.subtree.kind === "directory")
    return { ...status, offset: "subtree" in source ? source.subtree.offset : event.offset };
  const { subtree } = source;
  if (!contentDigests) return { ...status, offset: subtree.offset };
  const algorithm = digestOfFlags(flags);
  const nodeHash = createHash(algorithm);
  for await (const bytes of subtree.bytes(signal)) nodeHash.update(bytes);
  const contentHash = createHash(algorithm);
  if (subtree.kind === "file") {
    for await (const one of archiveEvents(source, signal)) if (one.type === "payload") contentHash.update(one.bytes);
  }
  return {
    ...status,
    offset: subtree.offset,
    nodeDigest: nodeHash.digest("hex"),
    // casync gives block devices the digest of no content, and other special nodes none.
    ...(subtree.kind === "file" || subtree.kind === "block" ? { digest: contentHash.digest("hex") } : {}),
  };
}

/** A directory that is there has a project id even where that is 0, which no archive records. */
function statDirectory(node: CatarNode, flags: bigint, directory: string): Pick<NodeStatus, "node" | "host"> {
  const descriptor = openat(AT_FDCWD, directory, openFlags.read | openFlags.directory);
  try {
    const { uid, gid } = statx(descriptor, "");
    const host = { uid, gid };
    if ((flags & features["quota-projid"]) === 0n) return { node, host };
    const projectId = quotaTypes.has(fileSystemType(descriptor)) ? orNone(() => getProjectId(descriptor)) : 0;
    return { node: { ...node, metadata: { ...node.metadata, projectId } }, host };
  } finally {
    closeSync(descriptor);
  }
}

async function firstNode(
  source: TreeSource,
  signal: AbortSignal | undefined,
): Promise<{
  readonly event: Extract<CatarEvent, { readonly type: "entry" }>;
  readonly flags: bigint;
  readonly path: Buffer;
}> {
  const paths = new PathTracker(source);
  let flags = 0n;
  for await (const nodes of skimNodes(source, signal, (found) => (flags = found))) {
    for (const event of nodes) {
      const path = paths.enter(event);
      if (path !== undefined) return { event, flags, path };
    }
  }
  // skimNodes() throws for an archive without nodes.
  throw new RangeError("an archive without nodes");
}

// In casync's order; the letters are those of lsattr but for N, which means that nothing is compressed.
const attributeLetters: readonly (readonly [bit: bigint, letter: string])[] = [
  [features["flag-sync"], "S"],
  [features["flag-dirsync"], "D"],
  [features["flag-immutable"], "i"],
  [features["flag-append"], "a"],
  [features["flag-nodump"], "d"],
  [features["flag-noatime"], "A"],
  [features["flag-compr"], "c"],
  [features["flag-nocomp"], "N"],
  [features["flag-nocow"], "C"],
  [features["flag-projinherit"], "P"],
];

const fatLetters: typeof attributeLetters = [
  [features["flag-hidden"], "h"],
  [features["flag-system"], "s"],
  [features["flag-archive"], "a"],
];

/** The lines that `casync stat` prints, without the last line's end. Times are local. */
export function formatStatus(status: NodeStatus): string {
  const { node, flags } = status;
  const { metadata, content } = node;
  const lines: [label: string, value: string | undefined][] = [
    ["File", escapePath(status.path)],
    ["Mode", formatMode(node)],
  ];
  const kind = kindOfMode(metadata.mode);
  if (kind === "file" || kind === "directory") {
    lines.push(["FileAttr", letters(attributeLetters, metadata.attributes)]);
    lines.push(["FATAttr", letters(fatLetters, metadata.attributes)]);
  }
  const { user, group } = ownersOf(node, flags, status.host);
  lines.push(
    ["Offset", String(status.offset)],
    ["Time", (flags & timeMask) === 0n ? undefined : localTime(metadata.mtime)],
    ["Size", content.kind === "file" ? String(content.size) : undefined],
    ["User", owner(user, metadata.uid, flags)],
    ["Group", owner(group, metadata.gid, flags)],
    ["Target", content.kind === "symlink" ? escapePath(content.target) : undefined],
    ["Device", "major" in content ? `${content.major}:${content.minor}` : undefined],
    ["ProjID", metadata.projectId === undefined ? undefined : String(metadata.projectId)],
    ...(metadata.xattrs ?? []).map(({ name, value }): [string, string] => [
      "XAttr",
      `${escapePath(name)} → ${escapePath(value)}`,
    ]),
    ["Digest", status.digest],
    ["HLDigest", status.nodeDigest],
  );
  return lines
    .filter(([, value]) => value !== undefined)
    .map(([label, value]) => `${label.padStart(8)}: ${value}`)
    .join("\n");
}

function letters(table: typeof attributeLetters, attributes = 0n): string {
  return table.map(([bit, letter]) => ((attributes & bit) === 0n ? "-" : letter)).join("");
}

function owner(name: string | undefined, id: number, flags: bigint): string | undefined {
  const text = name === undefined ? undefined : escapePath(Buffer.from(name));
  if ((flags & (features["32bit-uids"] | features["16bit-uids"])) === 0n) return text;
  return text === undefined ? String(id) : `${text} (${id})`;
}

function two(number: number): string {
  return String(number).padStart(2, "0");
}

function localTime(time: bigint): string {
  const unsigned = BigInt.asUintN(64, time);
  const date = new Date(Number(unsigned / 1_000_000_000n) * 1000);
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return `${day} ${clock}.${String(unsigned % 1_000_000_000n).padStart(9, "0")}`;
}
