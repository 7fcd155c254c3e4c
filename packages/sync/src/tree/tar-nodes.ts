/**
 * The tree that a tar archive makes when it is extracted: later members replace earlier ones, links and
 * directories in between are resolved. What is kept of a member is its name and its offset, some 200
 * bytes, whatever its content.
 * @module
 */
import { FormatError } from "@imgtool/core";
import { displayPath } from "@imgtool/host";
import { type PaxRecords, readTarMember, type TarInput, type TarMember } from "@imgtool/tar";

export interface TarNode {
  /** Where the member is; undefined for a directory that no member describes. */
  member: { readonly offset: number; readonly globals: PaxRecords } | undefined;
  /** Children of a directory by their names, as Latin-1 text; other nodes have none. */
  children: Map<string, TarNode> | undefined;
}

/**
 * Reads the names of all members.
 * @throws FormatError `tar-…` for a damaged archive, `tar-path` for a name that leaves the tree,
 *   `tar-conflict` for one below what is no directory, `tar-link` for a hard link to nothing
 */
export async function readTarNodes(input: TarInput, onProgress: (offset: number) => void = () => {}): Promise<TarNode> {
  const root: TarNode = { member: undefined, children: new Map() };
  let globals: PaxRecords | undefined;
  for (let offset = 0; ;) {
    const member = await readTarMember(input, offset, globals);
    if (member === undefined) return root;
    place(root, member, { offset, globals: globals ?? new Map() });
    globals = member.globals;
    offset = member.next;
    onProgress(offset);
  }
}

function place(root: TarNode, member: TarMember, at: NonNullable<TarNode["member"]>): void {
  const names = namesOf(member.path, at.offset);
  const name = names.pop();
  if (name === undefined) {
    if (member.kind !== "directory") throw conflict(member.path, at.offset, "a directory", member.kind);
    root.member = at;
    return;
  }
  const parent = descend(root, names, member.path, at.offset);
  const before = parent.get(name);
  if (member.kind === "directory") {
    if (before?.children === undefined) parent.set(name, { member: at, children: new Map() });
    else before.member = at;
    return;
  }
  if (before?.children !== undefined && before.children.size > 0) {
    throw conflict(member.path, at.offset, `a ${member.kind}`, "a directory that is not empty");
  }
  // A hard link is the same file: what its target is at this moment.
  if (member.kind === "hardlink") parent.set(name, { ...linked(root, member, at.offset) });
  else parent.set(name, { member: at, children: undefined });
}

function linked(root: TarNode, member: TarMember, offset: number): TarNode {
  const names = namesOf(member.target, offset);
  let node: TarNode | undefined = root;
  for (const name of names) node = node?.children?.get(name);
  if (node !== undefined && node.children === undefined) return node;
  const what = node === undefined ? "not in the archive before it" : "a directory";
  const [path, target] = [displayPath(member.path), displayPath(member.target)];
  throw new FormatError(`tar archive, offset ${offset}: ${path} links to ${target}, which is ${what}`, {
    code: "tar-link",
    data: { offset, path, target },
  });
}

function descend(root: TarNode, names: readonly string[], path: Uint8Array, offset: number): Map<string, TarNode> {
  let { children } = root;
  for (const name of names) {
    let next: TarNode | undefined = children?.get(name);
    if (next === undefined) {
      next = { member: undefined, children: new Map() };
      children?.set(name, next);
    }
    if (next.children === undefined) throw conflict(path, offset, "directories", `another node at ${name}`);
    children = next.children;
  }
  return children ?? new Map<string, TarNode>();
}

function namesOf(path: Uint8Array, offset: number): string[] {
  const names = Buffer.from(path)
    .toString("latin1")
    .split("/")
    .filter((name) => name !== "" && name !== ".");
  if (!names.includes("..")) return names;
  throw new FormatError(`tar archive, offset ${offset}: ${displayPath(path)} leaves the tree`, {
    code: "tar-path",
    hint: "make the archive without .. in its names",
    data: { offset, path: displayPath(path) },
  });
}

function conflict(path: Uint8Array, offset: number, expected: string, found: string): FormatError {
  return new FormatError(
    `tar archive, offset ${offset}: ${displayPath(path)} cannot be there: expected ${expected}, found ${found}`,
    { code: "tar-conflict", data: { offset, path: displayPath(path), expected, found } },
  );
}
