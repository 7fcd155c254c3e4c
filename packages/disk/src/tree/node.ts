/**
 * A directory tree as the file system writers take it: inodes with names below directories, in byte
 * order, without a trace of readdir's order, ctime, atime or inode numbers of the machine.
 * @module
 */

export type NodeKind = "directory" | "file" | "symlink" | "character" | "block" | "fifo" | "socket";

export interface TreeLink {
  /** The name's bytes; need not be UTF-8. */
  readonly name: Buffer;
  readonly node: TreeNode;
}

export interface ExtendedAttribute {
  /** With its namespace: "user.comment", "security.capability". */
  readonly name: string;
  readonly value: Uint8Array;
}

/** An inode. A file with hard links is one node that several links name. */
export interface TreeNode {
  readonly kind: NodeKind;
  /** Where the content is read from; undefined for directories that were not there. */
  readonly source: Buffer | undefined;
  /** Permission bits with set-user-id, set-group-id and sticky: 12 bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970, already clamped; may be negative. */
  readonly seconds: number;
  readonly nanoseconds: number;
  /** Bytes of a file's content; 0 for everything else. */
  readonly size: number;
  /** A symbolic link's target. */
  readonly target: Buffer | undefined;
  /** Numbers of a device node. */
  readonly device: { readonly major: number; readonly minor: number } | undefined;
  /** Sorted by name. */
  readonly xattrs: readonly ExtendedAttribute[];
  /** Links to this inode from within the tree, without "." and "..". */
  links: number;
  /** Entries of a directory, sorted by the bytes of their names. */
  children: TreeLink[];
}

/** The file type bits of st_mode (inode(7)). */
export const fileTypeBits: Readonly<Record<NodeKind, number>> = {
  fifo: 0o010000,
  character: 0o020000,
  directory: 0o040000,
  block: 0o060000,
  file: 0o100000,
  symlink: 0o120000,
  socket: 0o140000,
};

export interface VisitedNode {
  readonly node: TreeNode;
  /** Bytes of the path below the root, without a leading slash; empty for the root. */
  readonly path: Buffer;
  /** Whether an earlier link already named the node. */
  readonly again: boolean;
}

/** Every link in preorder: a directory, then what it holds, by name. */
export function* walk(root: TreeNode): Generator<VisitedNode> {
  const seen = new Set<TreeNode>();
  const stack: { node: TreeNode; path: Buffer }[] = [{ node: root, path: Buffer.alloc(0) }];
  for (let item = stack.pop(); item !== undefined; item = stack.pop()) {
    const again = seen.has(item.node);
    if (item.node.links > 1) seen.add(item.node);
    yield { ...item, again };
    for (const { name, node } of item.node.children.toReversed())
      stack.push({ node, path: item.path.length === 0 ? name : Buffer.concat([item.path, Buffer.from("/"), name]) });
  }
}
