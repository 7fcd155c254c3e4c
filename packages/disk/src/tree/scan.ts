/**
 * Reads a directory tree into nodes: what CopyFiles=, ExcludeFiles= and MakeDirectories= of a partition
 * select, with modification times clamped to SOURCE_DATE_EPOCH.
 * @module
 */
import { lstatSync, readdirSync, readlinkSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import {
  ConfigError,
  EnvironmentError,
  NotFoundError,
  compareBytes,
  errorMessage,
  throwIfAborted,
} from "@imgtool/core";
import type { NodeKind, TreeNode } from "./node.ts";
import { resolveInTree } from "./resolve.ts";
import { readXattrs } from "./xattrs.ts";

export interface CopyRule {
  /** Absolute path within the tree. */
  readonly source: string;
  /** Absolute path within the file system. */
  readonly target: string;
  /** It need not be in the tree; "told": that it is not is told of. */
  readonly optional?: boolean | "told";
}

/** A file whose size is known, or the least that it can be, before it is made. */
export interface ExpectedFile {
  /** Absolute path within the tree. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
}

export interface ScanOptions {
  /** The directory that paths of the rules begin at. */
  readonly tree: string;
  /** Default: everything, to the same place. */
  readonly copy?: readonly CopyRule[];
  /** Absolute paths within the tree left out; with a trailing slash the directory stays and its content goes. */
  readonly exclude?: readonly string[];
  /** Absolute paths within the file system that nothing is copied to; a trailing slash as in `exclude`. */
  readonly excludeTarget?: readonly string[];
  /** Symbolic links the file system shall have: absolute paths in it, and what they point to. */
  readonly makeSymlinks?: readonly { readonly path: string; readonly target: string }[];
  /** Absolute paths of directories the file system shall have. */
  readonly makeDirectories?: readonly string[];
  /** Times after this (seconds since 1970) become this; also the time of directories that are made. */
  readonly sourceDateEpoch?: number | undefined;
  /** Files that the tree will have and may not have yet: absolute paths within it, sizes in bytes. No content. */
  readonly expected?: readonly ExpectedFile[];
  /** Told of what is not in the tree and need not be. */
  readonly onMissing?: (source: string) => void;
  readonly signal?: AbortSignal | undefined;
}

const slash = Buffer.from("/");

/**
 * Scans a tree. Memory: one node per file, no content.
 * @throws NotFoundError `copy-source-missing`, ConfigError `copy-conflict`, EnvironmentError `tree-read`
 */
export async function scanTree(options: ScanOptions): Promise<TreeNode> {
  const scanner = new Scanner(options);
  const rules = options.copy ?? [{ source: "/", target: "/" }];
  const root = makeDirectory(options.sourceDateEpoch);
  root.links = 1;
  let whole: TreeNode = root;
  for (const rule of rules) whole = await scanner.copy(rule, whole);
  for (const file of options.expected ?? []) for (const rule of rules) scanner.expect(rule, file, whole);
  for (const path of options.makeDirectories ?? []) {
    let node = whole;
    for (const name of split(path)) node = childDirectory(node, name, options.sourceDateEpoch);
  }
  for (const { path, target } of options.makeSymlinks ?? []) makeSymlink(whole, path, target, options.sourceDateEpoch);
  sortChildren(whole);
  return whole;
}

class Scanner {
  readonly #options: ScanOptions;
  readonly #hardLinks = new Map<string, TreeNode>();
  readonly #excluded: Excluded;
  readonly #excludedTarget: Excluded;
  #count = 0;

  constructor(options: ScanOptions) {
    this.#options = options;
    this.#excluded = excluded(options.exclude ?? []);
    this.#excludedTarget = excluded(options.excludeTarget ?? []);
  }

  async copy(rule: CopyRule, root: TreeNode): Promise<TreeNode> {
    split(rule.source);
    let read: TreeNode | undefined;
    try {
      const { tree, names } = resolveInTree(this.#options.tree, rule.source);
      read = await this.#read(
        Buffer.from([tree, ...names].join("/") || "/"),
        Buffer.from(names.join("/")),
        Buffer.from(split(rule.target).join("/")),
      );
    } catch (error) {
      const missing = error instanceof Error && "code" in error && error.code === "ENOENT";
      if (missing && rule.optional === "told") this.#options.onMissing?.(rule.source);
      if (missing && (rule.optional ?? false) !== false) return root;
      if (missing)
        throw new NotFoundError(`CopyFiles=${rule.source}: it is not in the tree`, {
          code: "copy-source-missing",
          hint: "check the path: it is one of the image, with all its packages and files",
          data: { source: rule.source, tree: this.#options.tree },
          cause: error,
        });
      throw error;
    }
    if (read === undefined) return root;
    const names = split(rule.target);
    const last = names.pop();
    if (last === undefined) {
      if (read.kind !== "directory")
        throw new ConfigError(`CopyFiles=${rule.source}:/ copies something that is no directory over the root`, {
          code: "copy-conflict",
        });
      return merge(root, read);
    }
    let parent = root;
    for (const name of names) parent = childDirectory(parent, name, this.#options.sourceDateEpoch);
    attach(parent, Buffer.from(last), read);
    return root;
  }

  /** Adds a file that is not made yet, where the rule copies it and nothing leaves it out. */
  expect(rule: CopyRule, file: ExpectedFile, root: TreeNode): void {
    const [source, path] = [split(rule.source), split(file.path)];
    const rest = path.slice(source.length);
    if (rest.length === 0 || source.some((name, index) => name !== path[index])) return;
    const target = [...split(rule.target), ...rest];
    if (leavesOut(this.#excluded, path) || leavesOut(this.#excludedTarget, target)) return;
    const { sourceDateEpoch } = this.#options;
    let parent = root;
    for (const name of target.slice(0, -1)) parent = childDirectory(parent, name, sourceDateEpoch);
    const node: TreeNode = { ...makeDirectory(sourceDateEpoch), kind: "file", mode: 0o600, size: file.size };
    attach(parent, Buffer.from(target.at(-1) ?? ""), node);
  }

  /** Reads `path`, which is `inner` within the tree and becomes `outer` within the file system. */
  async #read(path: Buffer, inner: Buffer, outer: Buffer): Promise<TreeNode | undefined> {
    const key = inner.toString();
    const target = outer.toString();
    if (this.#excluded.whole.has(key) || this.#excludedTarget.whole.has(target)) return undefined;
    if (++this.#count % 1000 === 0) {
      throwIfAborted(this.#options.signal);
      await setImmediate();
    }
    const stat = lstatSync(path, { bigint: true });
    const hard = !stat.isDirectory() && stat.nlink > 1n ? `${stat.dev}:${stat.ino}` : undefined;
    const known = hard === undefined ? undefined : this.#hardLinks.get(hard);
    if (known !== undefined) {
      known.links++;
      return known;
    }
    const node: TreeNode = {
      kind: kindOf(Number(stat.mode)),
      source: path,
      mode: Number(stat.mode) & 0o7777,
      uid: Number(stat.uid),
      gid: Number(stat.gid),
      ...clamp(stat.mtimeNs, this.#options.sourceDateEpoch),
      size: stat.isFile() ? Number(stat.size) : 0,
      target: stat.isSymbolicLink() ? readlinkSync(path, { encoding: "buffer" }) : undefined,
      device:
        stat.isBlockDevice() || stat.isCharacterDevice()
          ? { major: deviceMajor(stat.rdev), minor: deviceMinor(stat.rdev) }
          : undefined,
      xattrs: readXattrs(path),
      links: 1,
      children: [],
    };
    if (hard !== undefined) this.#hardLinks.set(hard, node);
    if (!stat.isDirectory() || this.#excluded.contents.has(key) || this.#excludedTarget.contents.has(target))
      return node;
    let names: Buffer[];
    try {
      names = readdirSync(path, { encoding: "buffer" });
    } catch (error) {
      throw new EnvironmentError(`cannot read the directory ${path.toString()}: ${errorMessage(error)}`, {
        code: "tree-read",
        data: { path: path.toString() },
        cause: error,
      });
    }
    for (const name of names.sort(compareBytes)) {
      const child = await this.#read(Buffer.concat([path, slash, name]), below(inner, name), below(outer, name));
      if (child !== undefined) node.children.push({ name, node: child });
    }
    return node;
  }
}

interface Excluded {
  readonly whole: ReadonlySet<string>;
  /** Directories that stay, empty. */
  readonly contents: ReadonlySet<string>;
}

function excluded(paths: readonly string[]): Excluded {
  const whole = new Set<string>();
  const contents = new Set<string>();
  for (const path of paths) (path.endsWith("/") ? contents : whole).add(split(path).join("/"));
  return { whole, contents };
}

/** Whether the path or a folder above it is left out. */
function leavesOut({ whole, contents }: Excluded, names: readonly string[]): boolean {
  return names.some((_, index) => {
    const path = names.slice(0, index + 1).join("/");
    return whole.has(path) || (index + 1 < names.length && contents.has(path));
  });
}

function below(folder: Buffer, name: Buffer): Buffer {
  return folder.length === 0 ? name : Buffer.concat([folder, slash, name]);
}

function split(path: string): string[] {
  const names = path.split("/").filter((name) => name !== "" && name !== ".");
  if (names.includes(".."))
    throw new ConfigError(`the path "${path}" must not contain ".."`, { code: "path-invalid", data: { found: path } });
  return names;
}

function kindOf(mode: number): NodeKind {
  switch (mode & 0o170000) {
    case 0o040000:
      return "directory";
    case 0o120000:
      return "symlink";
    case 0o020000:
      return "character";
    case 0o060000:
      return "block";
    case 0o010000:
      return "fifo";
    case 0o140000:
      return "socket";
    default:
      return "file";
  }
}

// Linux's st_rdev: gnu_dev_major(3) and gnu_dev_minor(3).
function deviceMajor(device: bigint): number {
  return Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n));
}

function deviceMinor(device: bigint): number {
  return Number((device & 0xffn) | ((device >> 12n) & 0xffffff00n));
}

function clamp(nanoseconds: bigint, epoch: number | undefined): { seconds: number; nanoseconds: number } {
  const billion = 1_000_000_000n;
  if (epoch !== undefined && nanoseconds > BigInt(epoch) * billion) return { seconds: epoch, nanoseconds: 0 };
  const rest = ((nanoseconds % billion) + billion) % billion;
  return { seconds: Number((nanoseconds - rest) / billion), nanoseconds: Number(rest) };
}

function makeDirectory(epoch: number | undefined): TreeNode {
  return {
    kind: "directory",
    source: undefined,
    mode: 0o755,
    uid: 0,
    gid: 0,
    seconds: epoch ?? 0,
    nanoseconds: 0,
    size: 0,
    target: undefined,
    device: undefined,
    xattrs: [],
    links: 1,
    children: [],
  };
}

function childDirectory(parent: TreeNode, name: string, epoch: number | undefined): TreeNode {
  const bytes = Buffer.from(name);
  const existing = parent.children.find((child) => child.name.equals(bytes));
  if (existing !== undefined) {
    if (existing.node.kind !== "directory")
      throw new ConfigError(`"${name}" is to be a directory but the tree has a ${existing.node.kind} there`, {
        code: "copy-conflict",
        data: { name },
      });
    return existing.node;
  }
  const node = makeDirectory(epoch);
  parent.children.push({ name: bytes, node });
  return node;
}

function makeSymlink(root: TreeNode, path: string, target: string, epoch: number | undefined): void {
  const names = split(path);
  const name = Buffer.from(names.pop() ?? "");
  let parent = root;
  for (const folder of names) parent = childDirectory(parent, folder, epoch);
  const existing = parent.children.find((child) => child.name.equals(name))?.node;
  if (existing?.target?.toString() === target) return;
  if (existing !== undefined || name.length === 0)
    throw new ConfigError(
      `MakeSymlinks=${path}:${target}: the file system has a ${existing?.kind ?? "directory"} there`,
      {
        code: "copy-conflict",
        data: { path, target },
      },
    );
  parent.children.push({
    name,
    node: { ...makeDirectory(epoch), kind: "symlink", mode: 0o777, target: Buffer.from(target) },
  });
}

/** The later copy's attributes win, children are joined. */
function merge(before: TreeNode, after: TreeNode): TreeNode {
  // By name: joining two directories of 100,000 files by search would be quadratic.
  const byName = new Map(before.children.map(({ name, node }) => [name.toString("latin1"), { name, node }]));
  for (const { name, node } of after.children) {
    const key = name.toString("latin1");
    const existing = byName.get(key)?.node;
    byName.set(key, { name, node: existing === undefined ? node : replace(existing, node) });
  }
  return { ...after, children: [...byName.values()] };
}

function replace(existing: TreeNode, node: TreeNode): TreeNode {
  if (existing.kind === "directory" && node.kind === "directory") return merge(existing, node);
  existing.links--;
  return node;
}

function attach(parent: TreeNode, name: Buffer, node: TreeNode): void {
  const index = parent.children.findIndex((child) => child.name.equals(name));
  const existing = parent.children[index];
  if (existing === undefined) parent.children.push({ name, node });
  else parent.children[index] = { name, node: replace(existing.node, node) };
}

function sortChildren(node: TreeNode): void {
  node.children.sort((a, b) => compareBytes(a.name, b.name));
  for (const child of node.children) if (child.node.kind === "directory") sortChildren(child.node);
}
