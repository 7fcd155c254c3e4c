/**
 * What is in a tree, without extracting it.
 * @module
 */
import { type CatarNode, defaultArchiveFlags, type NodeKind, reduceMetadata } from "@imgtool/catar";
import { throwIfAborted } from "@imgtool/core";
import type { ArchiveReader } from "./archive-reader.ts";
import { ArchiveBrowser } from "./browse.ts";
import { type Place, readEntry } from "./directory-table.ts";
import { seekableReader, skimNodes } from "./skim.ts";
import type { TreeSource } from "./tree-source.ts";
import { joinPath, walkNodes } from "./walk-nodes.ts";

export interface ListedNode {
  /** Names from the root on, joined by slashes; "." for the root. Bytes, not text. */
  readonly path: Buffer;
  readonly node: CatarNode;
}

export interface ListOptions {
  /** Whether what is in subdirectories is listed, too. Default true. */
  readonly recursive?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Yields every node of a tree, parents before their children. Contents are not read, and of a directory
 * nothing but names, types and modes.
 * @throws as walkNodes() and archiveEvents()
 */
export async function* listTree(source: TreeSource, options: ListOptions = {}): AsyncGenerator<ListedNode, void> {
  if ("directory" in source) {
    yield* listDirectory(source, options);
    return;
  }
  if (options.recursive === false) {
    await using opened = await openLevel(source, options.signal);
    if (opened !== undefined) {
      yield* listLevel(opened, options.signal);
      return;
    }
  }
  const paths = new PathTracker(source);
  for await (const nodes of skimNodes(source, options.signal)) {
    for (const event of nodes) {
      const path = paths.enter(event);
      if (path === undefined || (options.recursive === false && paths.depth > 1)) continue;
      yield { path, node: event.node };
    }
  }
}

/** A node whose children are found by its table. */
interface Level extends AsyncDisposable {
  readonly archive: ArchiveReader;
  readonly place: Place;
  /** Names from the root on. */
  readonly names: readonly Buffer[];
}

/** Undefined for a stream, which has to be read in order. */
async function openLevel(
  source: Exclude<TreeSource, { readonly directory: string }>,
  signal?: AbortSignal,
): Promise<Level | undefined> {
  if ("subtree" in source) {
    const { archive, offset, size, flags, kind, parents, name } = source.subtree;
    const names = name.toString("latin1") === "." ? [] : [...parents, name];
    const place = { entryStart: offset, end: offset + size, flags, kind };
    return { archive, place, names, async [Symbol.asyncDispose]() {} };
  }
  const archive = await seekableReader(source, signal);
  if (archive === undefined) return undefined;
  await using opened = new AsyncDisposableStack();
  opened.use(archive);
  const place = await readEntry(archive, 0, archive.size);
  const owner = opened.move();
  return { archive, place, names: [], [Symbol.asyncDispose]: () => owner.disposeAsync() };
}

/** A node and its children: what is below them is neither read nor fetched. */
async function* listLevel({ archive, place, names }: Level, signal?: AbortSignal): AsyncGenerator<ListedNode, void> {
  const browser = new ArchiveBrowser(archive);
  const parent = await browser.node(place);
  yield { path: names.length === 0 ? Buffer.from(".") : joinPath(names), node: parent.node };
  if (parent.kind !== "directory") return;
  const count = await browser.count(parent);
  for (let i = 0; i < count; i++) {
    throwIfAborted(signal);
    const { name, node } = await browser.child(parent, i);
    yield { path: joinPath([...names, name]), node: node.node };
  }
}

function* listDirectory(
  source: Extract<TreeSource, { readonly directory: string }>,
  { recursive = true, signal }: ListOptions,
): Generator<ListedNode, void> {
  const { directory, flags = defaultArchiveFlags, idShift } = source;
  const paths = new PathTracker(source);
  for (const walked of walkNodes(directory, flags, { idShift, plain: true, signal })) {
    if (walked.type !== "entry") continue;
    const path = paths.enter(walked);
    if (path === undefined || (!recursive && paths.depth > 1)) continue;
    yield { path, node: { metadata: reduceMetadata(walked.node, flags), content: walked.node.content } };
  }
}

/** Knows the path of each node as its events come. */
export class PathTracker {
  readonly #names: Uint8Array[];
  /** Names that are above the first node. */
  readonly #above: number;
  /** Whether the archive's root only carries the node that was asked for. */
  readonly #isWrapped: boolean;

  constructor(source: TreeSource) {
    const subtree = "subtree" in source ? source.subtree : undefined;
    this.#isWrapped = subtree !== undefined && subtree.name.toString("latin1") !== ".";
    this.#names = [...(subtree?.parents ?? [])];
    this.#above = this.#names.length;
  }

  /** Levels below the node that was asked for. */
  get depth(): number {
    return this.#names.length - this.#above - (this.#isWrapped ? 1 : 0);
  }

  /** The path of a node, "." for the root; undefined for a root that is none of the tree's. */
  enter({ depth, name }: { readonly depth: number; readonly name: Uint8Array | undefined }): Buffer | undefined {
    this.#names.length = this.#above + Math.max(depth - 1, 0);
    if (depth > 0 && name !== undefined) this.#names.push(name);
    else return this.#isWrapped ? undefined : Buffer.from(".");
    return joinPath(this.#names);
  }
}

const typeLetters: Readonly<Record<NodeKind, string>> = {
  directory: "d",
  file: "-",
  symlink: "l",
  block: "b",
  character: "c",
  fifo: "p",
  socket: "s",
};

/** A mode as ls has it: `drwxr-xr-x`. */
export function formatMode(node: CatarNode): string {
  const { mode } = node.metadata;
  const triple = (shift: number, special: boolean, letter: string): string => {
    const bits = (mode >> shift) & 7;
    const execute = (bits & 1) !== 0;
    const last = special ? (execute ? letter : letter.toUpperCase()) : execute ? "x" : "-";
    return `${(bits & 4) === 0 ? "-" : "r"}${(bits & 2) === 0 ? "-" : "w"}${last}`;
  };
  return (
    typeLetters[node.content.kind] +
    triple(6, (mode & 0o4000) !== 0, "s") +
    triple(3, (mode & 0o2000) !== 0, "s") +
    triple(0, (mode & 0o1000) !== 0, "t")
  );
}

/** A path with every byte that is no visible ASCII, and `\` and `#`, as three octal digits: as mtree wants it. */
export function escapePath(path: Uint8Array): string {
  const plain = Buffer.from(path.buffer, path.byteOffset, path.byteLength).toString("latin1");
  // most names: a look is cheaper than putting them together
  if (/^[!"$-[\]-~]*$/.test(plain)) return plain;
  let text = "";
  for (const byte of path) {
    const isPlain = byte > 0x20 && byte < 0x7f && byte !== 0x5c && byte !== 0x23;
    text += isPlain ? String.fromCharCode(byte) : `\\${byte.toString(8).padStart(3, "0")}`;
  }
  return text;
}

/** The line that `casync list` prints for a node. */
export function formatListLine({ path, node }: ListedNode): string {
  return `${formatMode(node)} ${escapePath(path)}`;
}
