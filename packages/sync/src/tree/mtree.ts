/**
 * The manifest of a tree in the format of mtree(5), with the keywords in casync's order. Two things
 * are right here that casync 2 gets wrong: it claims every attribute of symlinks and special nodes to
 * be set, where they have none, and it calls digests by the algorithm of its own default.
 * @module
 */
import { createHash, type Hash } from "node:crypto";
import {
  type CatarNode,
  defaultArchiveFlags,
  features,
  type NodeKind,
  type NodeMetadata,
  reduceMetadata,
  timeMask,
} from "@imgtool/catar";
import { digestOfFlags } from "@imgtool/chunker";
import { FileDigests } from "./file-digests.ts";
import { escapePath, PathTracker } from "./list-tree.ts";
import { skimNodes } from "./skim.ts";
import { archiveEvents, type TreeSource } from "./tree-source.ts";
import { walkNodes } from "./walk-nodes.ts";

const typeNames: Readonly<Record<NodeKind, string>> = {
  directory: "dir",
  file: "file",
  symlink: "link",
  block: "block",
  character: "char",
  fifo: "fifo",
  socket: "socket",
};

/** BSD's names of the attributes that an archive may record. */
const attributeNames: readonly (readonly [bit: bigint, name: string])[] = [
  [features["flag-hidden"], "hidden"],
  [features["flag-system"], "system"],
  [features["flag-archive"], "archive"],
  [features["flag-append"], "sappend"],
  [features["flag-nodump"], "nodump"],
  [features["flag-immutable"], "simmutable"],
];

const uidFeatures = features["32bit-uids"] | features["16bit-uids"];

export interface MtreeOptions {
  /** Whether files have digests of their contents, which are read for it. Default true. */
  readonly contentDigests?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Yields a line for every node of a tree, without its end; file contents are digested.
 * @throws as walkNodes() and archiveEvents()
 */
export async function* mtreeLines(source: TreeSource, options: MtreeOptions = {}): AsyncGenerator<string, void> {
  const { contentDigests = true, signal } = options;
  if ("directory" in source) {
    yield* directoryLines(source, contentDigests, signal);
    return;
  }
  const paths = new PathTracker(source);
  let flags: bigint | undefined;
  if (!contentDigests) {
    for await (const nodes of skimNodes(source, signal, (found) => (flags = found))) {
      for (const event of nodes) {
        const path = paths.enter(event);
        if (path !== undefined) yield nodeLine(path, event.node, flags ?? 0n);
      }
    }
    return;
  }
  let file: { readonly line: string; readonly hash: Hash } | undefined;
  for await (const event of archiveEvents(source, signal, (found) => (flags = found))) {
    if (event.type === "payload") {
      file?.hash.update(event.bytes);
    } else if (event.type === "entry") {
      const path = paths.enter(event);
      if (path === undefined) continue;
      const line = nodeLine(path, event.node, flags ?? 0n);
      if (event.node.content.kind === "file") file = { line, hash: createHash(digestOfFlags(flags ?? 0n)) };
      else yield line;
    } else if (file !== undefined) {
      yield `${file.line} ${digestKeyword(flags ?? 0n)}=${file.hash.digest("hex")}`;
      file = undefined;
    }
  }
}

/** Lines whose digests are under way at most: each may hold a descriptor. */
const linesAhead = 128;

/** The lines of a directory; its files are digested by threads while the walk goes on. */
async function* directoryLines(
  source: Extract<TreeSource, { readonly directory: string }>,
  contentDigests: boolean,
  signal: AbortSignal | undefined,
): AsyncGenerator<string, void> {
  const { directory, flags = defaultArchiveFlags, idShift } = source;
  const paths = new PathTracker(source);
  const algorithm = digestOfFlags(flags);
  const ofNothing = createHash(algorithm).digest("hex");
  const ahead: { readonly line: string; readonly digest: string | Promise<string> | undefined }[] = [];
  const next = async (): Promise<string> => {
    const { line = "", digest } = ahead.shift() ?? {};
    return digest === undefined ? line : `${line} ${digestKeyword(flags)}=${await digest}`;
  };
  await using digests = new FileDigests(algorithm);
  for (const walked of walkNodes(directory, flags, { idShift, signal })) {
    if (walked.type !== "entry") continue;
    const path = paths.enter(walked);
    if (path === undefined) continue;
    const { content } = walked.node;
    const node: CatarNode = { metadata: reduceMetadata(walked.node, flags), content };
    const line = nodeLine(path, node, flags, walked.host);
    if (!contentDigests) {
      yield line;
      continue;
    }
    const digest = walked.content === undefined ? ofNothing : digests.digest(walked.content);
    ahead.push({ line, digest: content.kind === "file" ? digest : undefined });
    while (ahead.length > 0 && (ahead.length >= linesAhead || typeof ahead[0]?.digest !== "object")) yield await next();
  }
  while (ahead.length > 0) yield await next();
}

function digestKeyword(flags: bigint): string {
  return digestOfFlags(flags) === "sha256" ? "sha256digest" : "sha512256digest";
}

function nodeLine(path: Buffer, node: CatarNode, flags: bigint, host?: HostOwners): string {
  return `${escapePath(path)} ${keywords(node, flags, host)}`;
}

function keywords(node: CatarNode, flags: bigint, host: HostOwners | undefined): string {
  const { metadata, content } = node;
  const has = (bits: bigint): boolean => (flags & bits) !== 0n;
  const words = [`type=${typeNames[content.kind]}`, `mode=${(metadata.mode & 0o7777).toString(8).padStart(4, "0")}`];
  if (content.kind === "file") words.push(`size=${content.size}`);
  if (content.kind === "symlink") words.push(`link=${escapePath(content.target)}`);
  if (content.kind === "block" || content.kind === "character")
    words.push(`device=linux,${content.major},${content.minor}`);
  if (has(uidFeatures)) words.push(`uid=${metadata.uid}`, `gid=${metadata.gid}`);
  const { user, group } = ownersOf(node, flags, host);
  if (user !== undefined) words.push(`uname=${escapeText(user)}`);
  if (group !== undefined) words.push(`gname=${escapeText(group)}`);
  const attributes = attributeNames
    .filter(([bit]) => has(bit))
    .map(([bit, name]) => attributeWord(name, ((metadata.attributes ?? 0n) & bit) !== 0n));
  if (attributes.length > 0 && (content.kind === "file" || content.kind === "directory"))
    words.push(`flags=${attributes.join(",")}`);
  if (has(timeMask)) words.push(`time=${formatNanoseconds(metadata.mtime)}`);
  return words.join(" ");
}

function attributeWord(name: string, isSet: boolean): string {
  if (name === "nodump") return isSet ? "nodump" : "nonodump";
  return isSet ? name : `no${name}`;
}

/** The host's ids of a node's owners. */
export type HostOwners = Pick<NodeMetadata, "uid" | "gid">;

/**
 * The names of the owners, where the archive records names; the host's root has one everywhere.
 * @param host of owners that the archive calls otherwise
 */
export function ownersOf(
  { metadata }: CatarNode,
  flags: bigint,
  host: HostOwners = metadata,
): { readonly user?: string; readonly group?: string } {
  if ((flags & features["user-names"]) === 0n) return {};
  const user = metadata.user ?? (host.uid === 0 ? "root" : undefined);
  const group = metadata.group ?? (host.gid === 0 ? "root" : undefined);
  return { ...(user === undefined ? {} : { user }), ...(group === undefined ? {} : { group }) };
}

/** Seconds with nine decimals; a time before 1970 as the unsigned value that the archive has. */
function formatNanoseconds(time: bigint): string {
  const unsigned = BigInt.asUintN(64, time);
  return `${unsigned / 1_000_000_000n}.${String(unsigned % 1_000_000_000n).padStart(9, "0")}`;
}

function escapeText(text: string): string {
  return escapePath(Buffer.from(text));
}
