/**
 * Compares two trees in whichever form: directories, archives, indexes. Both are read once, in step, in
 * the order that archives have; nothing but the two current nodes is in memory.
 * @module
 */
import { createHash, type Hash } from "node:crypto";
import { open } from "node:fs/promises";
import { compareBytes } from "@imgtool/core";
import {
  type CatarNode,
  defaultArchiveFlags,
  featureSets,
  type NodeMetadata,
  normalizeFlags,
  reduceMetadata,
  timeMask,
} from "@imgtool/catar";
import { archiveEvents, type TreeSource } from "./tree-source.ts";
import { joinPath } from "./walk-nodes.ts";

/** What can differ between two nodes of one name. */
export type ChangedPart =
  | "type"
  | "content"
  | "target"
  | "device"
  | "mode"
  | "owner"
  | "group"
  | "mtime"
  | "attributes"
  | "xattrs"
  | "acl"
  | "capability"
  | "selinux"
  | "project-id";

export interface TreeNode {
  readonly node: CatarNode;
  /** SHA-256 of a regular file's content. */
  readonly digest?: Buffer;
}

export type TreeDifference =
  /** Names from the root on, joined by slashes; "." for the root. Bytes, not text. */
  | { readonly change: "added"; readonly path: Buffer; readonly after: TreeNode }
  | { readonly change: "removed"; readonly path: Buffer; readonly before: TreeNode }
  | {
      readonly change: "changed";
      readonly path: Buffer;
      readonly before: TreeNode;
      readonly after: TreeNode;
      readonly what: readonly ChangedPart[];
    };

interface Step extends TreeNode {
  readonly names: readonly Uint8Array[];
}

/**
 * Yields what differs, in the order of an archive. Only what both sides record is compared: a directory
 * is read as the other side's archive would record it.
 * @throws as archiveEvents()
 */
export async function* diffTrees(
  previous: TreeSource,
  next: TreeSource,
  signal?: AbortSignal,
): AsyncGenerator<TreeDifference, void> {
  const [previousFlags, nextFlags] = [await recordedFlags(previous), await recordedFlags(next)];
  const left = steps(withFlags(previous, nextFlags), signal);
  const right = steps(withFlags(next, previousFlags), signal);
  const common = commonFlags(previousFlags, nextFlags);
  try {
    let [a, b] = [await left.next(), await right.next()];
    while (a.done !== true || b.done !== true) {
      const before = a.done === true ? undefined : a.value;
      const after = b.done === true ? undefined : b.value;
      const order = before === undefined ? 1 : after === undefined ? -1 : comparePaths(before.names, after.names);
      if (order < 0 && before !== undefined) {
        yield { change: "removed", path: pathOf(before), before };
      } else if (order > 0 && after !== undefined) {
        yield { change: "added", path: pathOf(after), after };
      } else if (before !== undefined && after !== undefined) {
        const what = changedParts(before, after, common);
        if (what.length > 0) yield { change: "changed", path: pathOf(after), before, after, what };
      }
      if (order <= 0) a = await left.next();
      if (order >= 0) b = await right.next();
    }
  } finally {
    await left.return();
    await right.return();
  }
}

/** The nodes of a tree, files behind their content. */
async function* steps(source: TreeSource, signal: AbortSignal | undefined): AsyncGenerator<Step, void> {
  const names: Uint8Array[] = [];
  let file: { readonly step: Step; readonly hash: Hash } | undefined;
  for await (const event of archiveEvents(source, signal)) {
    if (event.type === "payload") {
      file?.hash.update(event.bytes);
    } else if (event.type === "leave") {
      if (file !== undefined) yield { ...file.step, digest: file.hash.digest() };
      file = undefined;
    } else {
      names.length = Math.max(event.depth - 1, 0);
      if (event.depth > 0) names.push(Buffer.from(event.name));
      const step = { names: [...names], node: event.node };
      if (event.node.content.kind === "file") file = { step, hash: createHash("sha256") };
      else yield step;
    }
  }
}

/** Order of an archive: a directory before what is in it, names by their bytes. */
function comparePaths(a: readonly Uint8Array[], b: readonly Uint8Array[]): number {
  for (const [i, name] of a.entries()) {
    const other = b[i];
    if (other === undefined) return 1;
    const order = compareBytes(name, other);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

function pathOf({ names }: Step): Buffer {
  return names.length === 0 ? Buffer.from(".") : joinPath(names);
}

// Where an archive's first ENTRY has its flags, in bytes.
const flagsOffset = 16;

/** What a source records; undefined for a directory, which can be read in any way. */
export async function recordedFlags(source: TreeSource): Promise<bigint | undefined> {
  if ("directory" in source) return source.flags;
  if ("index" in source) return source.index.flags;
  if ("subtree" in source) return source.subtree.flags;
  if (typeof source.archive !== "string" || source.archive === "-") return undefined;
  try {
    await using handle = await open(source.archive, "r");
    const bytes = Buffer.alloc(8);
    const { bytesRead } = await handle.read(bytes, 0, 8, flagsOffset);
    return bytesRead === 8 ? normalizeFlags(bytes.readBigUInt64LE()) : undefined;
  } catch {
    // whoever reads the whole archive says what is wrong with it
    return undefined;
  }
}

/** A directory is read as an archive with these flags would record it, unless it has flags of its own. */
export function withFlags(source: TreeSource, flags: bigint | undefined): TreeSource {
  return "directory" in source && source.flags === undefined && flags !== undefined ? { ...source, flags } : source;
}

/** What both sides record; times only where both have them with equal granularity. */
function commonFlags(a: bigint | undefined, b: bigint | undefined): bigint {
  return (a ?? b ?? defaultArchiveFlags) & (b ?? a ?? defaultArchiveFlags) & featureSets.all;
}

function changedParts(before: Step, after: Step, flags: bigint): readonly ChangedPart[] {
  const [a, b] = [before.node, after.node];
  if (a.content.kind !== b.content.kind) return ["type"];
  const what: ChangedPart[] = [];
  if (!same(before.digest, after.digest)) what.push("content");
  if (a.content.kind === "symlink" && b.content.kind === "symlink" && !same(a.content.target, b.content.target)) {
    what.push("target");
  }
  if ("major" in a.content && "major" in b.content) {
    if (a.content.major !== b.content.major || a.content.minor !== b.content.minor) what.push("device");
  }
  const [x, y] = [reduceMetadata(a, flags), reduceMetadata(b, flags)];
  for (const [part, differ] of metadataParts) if (differ(x, y, flags)) what.push(part);
  return what;
}

/** Whether two nodes are equal in all that these flags record, content aside. */
export function equalMetadata(a: CatarNode, b: CatarNode, flags: bigint): boolean {
  return metadataText(reduceMetadata(a, flags), flags) === metadataText(reduceMetadata(b, flags), flags);
}

/** What is recorded beside the content, as text that is equal for equal nodes. */
export function metadataText(metadata: NodeMetadata, flags: bigint): string {
  const { mode, uid, gid, user, group, mtime, attributes, xattrs, acl, defaultAcl, capability, selinux, projectId } =
    metadata;
  const times = (flags & timeMask) === 0n ? "" : String(mtime);
  const numbers = [mode, uid, gid, user, group, times, String(attributes ?? 0n), projectId ?? 0];
  return [JSON.stringify(numbers), ...[xattrs, acl, defaultAcl, capability, selinux].map(text)].join(" ");
}

type Differ = (a: NodeMetadata, b: NodeMetadata, flags: bigint) => boolean;

const metadataParts: readonly (readonly [ChangedPart, Differ])[] = [
  ["mode", (a, b) => a.mode !== b.mode],
  ["owner", (a, b) => a.uid !== b.uid || a.user !== b.user],
  ["group", (a, b) => a.gid !== b.gid || a.group !== b.group],
  ["mtime", (a, b, flags) => (flags & timeMask) !== 0n && a.mtime !== b.mtime],
  ["attributes", (a, b) => a.attributes !== b.attributes],
  ["xattrs", (a, b) => text(a.xattrs) !== text(b.xattrs)],
  ["acl", (a, b) => text([a.acl, a.defaultAcl]) !== text([b.acl, b.defaultAcl])],
  ["capability", (a, b) => text(a.capability) !== text(b.capability)],
  ["selinux", (a, b) => text(a.selinux) !== text(b.selinux)],
  ["project-id", (a, b) => a.projectId !== b.projectId],
];

/** Nested lists and bytes as comparable text. Absent and empty are the same: neither is recorded. */
function text(value: unknown): string {
  const json = JSON.stringify(value ?? [], (_key, part: unknown) =>
    part instanceof Uint8Array ? Buffer.from(part.buffer, part.byteOffset, part.length).toString("hex") : part,
  );
  return json === '""' ? "[]" : json;
}

function same(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return compareBytes(a, b) === 0;
}
