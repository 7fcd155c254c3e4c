/**
 * A difference between two trees, as a line for people and as an event for programs.
 * @module
 */
import { isUtf8 } from "node:buffer";
import { type ChangedPart, escapePath, formatMode, type TreeDifference, type TreeNode } from "@imgtool/sync";

const signs = { added: "+", removed: "-", changed: "~" } as const;

/** `~ etc/passwd  content, mode 0644 → 0600`. */
export function differenceText(difference: TreeDifference): string {
  const head = `${signs[difference.change]} ${escapePath(difference.path)}`;
  if (difference.change !== "changed") return head;
  const { before, after } = difference;
  return `${head}  ${difference.what.map((part) => partText(part, before, after)).join(", ")}`;
}

function partText(part: ChangedPart, before: TreeNode, after: TreeNode): string {
  const [a, b] = [partOf(part, before), partOf(part, after)];
  return a === undefined || b === undefined ? part : `${part} ${a} → ${b}`;
}

/** A part's value, where it is short enough to be shown. */
function partOf(part: ChangedPart, { node }: TreeNode): string | undefined {
  const { metadata, content } = node;
  switch (part) {
    case "type":
      return content.kind;
    case "mode":
      return `0${(metadata.mode & 0o7777).toString(8)}`;
    case "owner":
      return metadata.user ?? String(metadata.uid);
    case "group":
      return metadata.group ?? String(metadata.gid);
    case "mtime":
      return timeText(metadata.mtime);
    case "target":
      return content.kind === "symlink" ? escapePath(content.target) : undefined;
    case "device":
      return "major" in content ? `${content.major}:${content.minor}` : undefined;
    case "content":
      return undefined;
    default:
      return undefined;
  }
}

/** Nanoseconds since 1970 as ISO 8601 with all nine digits. */
function timeText(time: bigint): string {
  const nanoseconds = BigInt.asIntN(64, time);
  const milliseconds = nanoseconds / 1_000_000n - (nanoseconds % 1_000_000n < 0n ? 1n : 0n);
  const date = new Date(Number(milliseconds));
  if (Number.isNaN(date.getTime())) return `${nanoseconds} ns`;
  const rest = nanoseconds - milliseconds * 1_000_000n;
  return date.toISOString().replace("Z", `${String(rest).padStart(6, "0")}Z`);
}

/** The event of a difference; a path that is no UTF-8 is given in base64 as well. */
export function differenceEvent(
  difference: TreeDifference,
): Readonly<Record<string, unknown>> & { readonly type: string } {
  const { change, path } = difference;
  return {
    type: "difference",
    change,
    path: path.toString("utf8"),
    ...(isUtf8(path) ? {} : { pathBase64: path.toString("base64") }),
    ...(change === "changed" ? { what: difference.what } : {}),
    ...("before" in difference ? { before: nodeData(difference.before) } : {}),
    ...("after" in difference ? { after: nodeData(difference.after) } : {}),
  };
}

function nodeData({ node, digest }: TreeNode): Readonly<Record<string, unknown>> {
  const { metadata, content } = node;
  return {
    kind: content.kind,
    mode: formatMode(node),
    uid: metadata.uid,
    gid: metadata.gid,
    user: metadata.user,
    group: metadata.group,
    mtime: timeText(metadata.mtime),
    ...("size" in content ? { size: content.size } : {}),
    ...("target" in content ? { target: Buffer.from(content.target).toString("utf8") } : {}),
    ...("major" in content ? { major: content.major, minor: content.minor } : {}),
    sha256: digest?.toString("hex"),
  };
}
