/**
 * Walks a directory and yields its nodes, with everything that an archive records about them.
 * Directories are read through descriptors and in bytewise order of names; symlinks are never followed.
 *
 * The walk is synchronous, since a step of an asynchronous iteration costs as much as the system calls
 * for a small file, and more the deeper it is; contents are read by whoever takes the steps.
 * @module
 */
import { closeSync, fstatSync, readSync } from "node:fs";
import { compareBytes, ConfigError, FormatError, NotFoundError, systemErrorCode, throwIfAborted } from "@imgtool/core";
import {
  type CatarNode,
  excludeFile,
  excludeNodump,
  excludeSubmounts,
  features,
  featureSets,
  kindOfMode,
  recordsKind,
} from "@imgtool/catar";
import {
  apiFileSystems,
  AT_FDCWD,
  displayPath,
  fileSystemType,
  openat,
  openFlags,
  readDirectory,
  statx,
  type DirectoryEntry,
  type FileStatus,
} from "@imgtool/host";
import { readAttributes } from "./attributes.ts";
import { collectNode, type NodePlace } from "./collect.ts";
import type { IdShift } from "./id-shift.ts";
import { excludeFileName, ExcludeRules } from "./exclude.ts";
import { subvolumeAttributes } from "./subvolume.ts";

/** A step of a walk, in the archive's order. */
export type WalkedNode =
  | {
      readonly type: "entry";
      /** Undefined for the root. */
      readonly name: Buffer | undefined;
      /** 0 for the root. */
      readonly depth: number;
      /** The names from the walked directory to the node; as long as no further step is taken. */
      readonly names: readonly Buffer[];
      readonly node: CatarNode;
      /** The host's ids of its owners, which the node has as the archive calls them. */
      readonly host: Pick<FileStatus, "uid" | "gid">;
      /** Of a file that has any: to be read before the next step is taken, or with keep() later. */
      readonly content?: FileContent;
    }
  /** The directory that was entered last is whole. */
  | { readonly type: "leave" };

/** The content of a file that is open. */
export interface FileContent {
  readonly descriptor: number;
  /** Bytes that the archive says it has. */
  readonly size: number;
  /** Relative to the walked directory. */
  readonly path: Buffer;
  /** What was known of the file when it had been opened. */
  readonly status: FileStatus;
  /** Leaves the descriptor open: the caller closes it. */
  keep(): void;
}

export interface WalkOptions {
  /** The host's range of ids that the tree's owners are in. Default: they are recorded as they are. */
  readonly idShift?: IdShift | undefined;
  /**
   * Whether only types, names and modes are wanted: the nodes then have nothing that takes a system call
   * of its own. Default false.
   */
  readonly plain?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

const api: ReadonlySet<number> = new Set(Object.values(apiFileSystems));
const excludeFileBytes = Buffer.from(excludeFileName);
// Of a .caexclude file: far more than one has, and no more than memory.
const excludeFileLimit = 1024 ** 2;

/**
 * The nodes of a directory that feature flags (normalized) record.
 * @throws NotFoundError `source-missing`; FormatError `source-changed`; ConfigError `exclude-file-invalid`;
 *   SystemCallError for what cannot be read; AbortedError
 */
export function* walkNodes(path: string, flags: bigint, options: WalkOptions = {}): Generator<WalkedNode, void> {
  const root = openSource(path);
  try {
    yield* new Walker(flags, statx(root, "").mountId, options).root(root, Buffer.from(path));
  } finally {
    closeSync(root);
  }
}

/** Opens a directory that is to be read. @throws NotFoundError `source-missing`; SystemCallError */
export function openSource(path: string): number {
  try {
    return openat(AT_FDCWD, path, openFlags.read | openFlags.directory);
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT" && systemErrorCode(error) !== "ENOTDIR") throw error;
    throw new NotFoundError(`there is no directory ${path}`, { code: "source-missing", data: { path }, cause: error });
  }
}

// d_type of getdents
const typeDirectory = 4;
const typeFile = 8;

/** A file or directory that is open. */
type OpenPlace = NodePlace & { readonly descriptor: number; readonly fileSystem: number };

class Walker {
  readonly #flags: bigint;
  /** What is asked of each node. */
  readonly #collected: bigint;
  readonly #isPlain: boolean;
  readonly #readsAttributes: boolean;
  readonly #readsSubvolumes: boolean;
  readonly #rootMount: bigint;
  readonly #idShift: IdShift | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #path: Buffer[] = [];
  /** Magic numbers by device: a tree has few of them, and many files. */
  readonly #types = new Map<string, number>();

  constructor(flags: bigint, rootMount: bigint, { signal, idShift, plain = false }: WalkOptions) {
    const recorded = plain ? 0n : flags;
    this.#flags = flags;
    this.#collected = recorded;
    this.#isPlain = plain;
    this.#readsAttributes =
      (recorded & (featureSets.chattr | featureSets["fat-attrs"])) !== 0n || (flags & excludeNodump) !== 0n;
    this.#readsSubvolumes = (recorded & (features.subvolume | features["subvolume-ro"])) !== 0n;
    this.#rootMount = rootMount;
    this.#idShift = idShift;
    this.#signal = signal;
  }

  *root(descriptor: number, path: Buffer): Generator<WalkedNode, void> {
    yield* this.#directory(undefined, this.#openPlace(AT_FDCWD, path, descriptor), ExcludeRules.none);
  }

  *#directory(name: Buffer | undefined, place: OpenPlace, inherited: ExcludeRules): Generator<WalkedNode, void> {
    yield this.#entry(name, place);
    // What the kernel shows of itself has no lasting content.
    const entries = api.has(place.fileSystem) ? [] : readDirectory(place.descriptor);
    entries.sort((a, b) => compareBytes(a.name, b.name));
    const rules = this.#rules(place.descriptor, entries, inherited);
    for (const entry of entries) {
      throwIfAborted(this.#signal);
      this.#path.push(entry.name);
      yield* this.#child(place.descriptor, entry, rules);
      this.#path.pop();
    }
    yield { type: "leave" };
  }

  *#child(directory: number, { name, type }: DirectoryEntry, rules: ExcludeRules): Generator<WalkedNode, void> {
    const isPlain = type === typeDirectory || type === typeFile;
    const status = isPlain ? undefined : statx(directory, name);
    const kind = status === undefined ? (type === typeDirectory ? "directory" : "file") : kindOfMode(status.mode);
    if (kind === undefined || !recordsKind(this.#flags, kind)) return;
    if (rules.excludes(name, kind === "directory")) return;
    if (status !== undefined && kind !== "file" && kind !== "directory") {
      if (this.#isLeftOutMount(status)) return;
      yield this.#entry(name, { directory, name, descriptor: undefined, status });
      return;
    }
    if (this.#isPlain && kind === "file") {
      const known = status ?? statx(directory, name);
      // Opened only where that is the one way to learn of nodump: it takes more than all the rest.
      if ((this.#flags & excludeNodump) === 0n || known.nodump !== undefined) {
        if (kindOfMode(known.mode) !== kind) throw this.#changed(kind, kindOfMode(known.mode) ?? "another kind");
        const isLeftOut = (this.#flags & excludeNodump) !== 0n && known.nodump === true;
        if (!isLeftOut && !this.#isLeftOutMount(known))
          yield this.#entry(name, { directory, name, descriptor: undefined, status: known });
        return;
      }
    }
    // Non-blocking: whatever was put in the file's place since must not make us wait.
    const mode = openFlags.read | openFlags.noFollow | openFlags.nonBlock;
    const descriptor = openat(directory, name, kind === "directory" ? mode | openFlags.directory : mode);
    let isKept = false;
    try {
      const place = this.#openPlace(directory, name, descriptor);
      const found = kindOfMode(place.status.mode);
      if (found !== kind) throw this.#changed(kind, found ?? "another kind");
      if (this.#isLeftOutMount(place.status) || this.#isNodump(place)) return;
      if (kind === "directory") {
        yield* this.#directory(name, place, rules.below(name));
        return;
      }
      const size = api.has(place.fileSystem) ? 0 : place.status.size;
      const file = { ...place, status: { ...place.status, size } };
      const keep = (): void => void (isKept = true);
      const { status } = place;
      const content = size === 0 ? undefined : { descriptor, size, path: joinPath(this.#path), status, keep };
      yield this.#entry(name, file, content);
    } finally {
      if (!isKept) closeSync(descriptor);
    }
  }

  /** The rules that hold for the entries of a directory: those from above and those of its own file. */
  #rules(directory: number, entries: readonly DirectoryEntry[], inherited: ExcludeRules): ExcludeRules {
    if ((this.#flags & excludeFile) === 0n) return inherited;
    if (!entries.some(({ name }) => name.equals(excludeFileBytes))) return inherited;
    const path = displayPath(joinPath([...this.#path, excludeFileBytes]));
    return inherited.with(ExcludeRules.parse(readExcludeFile(directory, path), path));
  }

  #openPlace(directory: number, name: Buffer, descriptor: number): OpenPlace {
    const status = statx(descriptor, "");
    let fileSystem = this.#types.get(status.fileSystem);
    if (fileSystem === undefined) {
      fileSystem = fileSystemType(descriptor);
      this.#types.set(status.fileSystem, fileSystem);
    }
    const attributes =
      (this.#readsAttributes ? readAttributes(descriptor, fileSystem) : 0n) |
      (this.#readsSubvolumes ? subvolumeAttributes(descriptor, status, fileSystem) : 0n);
    return { directory, name, descriptor, status, fileSystem, attributes };
  }

  #isLeftOutMount(status: FileStatus): boolean {
    return (this.#flags & excludeSubmounts) !== 0n && status.mountId !== this.#rootMount;
  }

  #isNodump({ attributes = 0n }: OpenPlace): boolean {
    return (this.#flags & excludeNodump) !== 0n && (attributes & features["flag-nodump"]) !== 0n;
  }

  #entry(name: Buffer | undefined, place: NodePlace, content?: FileContent): WalkedNode {
    const node = collectNode(place, this.#collected, this.#idShift);
    const entry = {
      type: "entry",
      name,
      depth: this.#path.length,
      names: this.#path,
      node,
      host: place.status,
    } as const;
    return content === undefined ? entry : { ...entry, content };
  }

  #changed(expected: string, found: string): FormatError {
    return changedError(joinPath(this.#path), expected, found);
  }
}

/** The error for a tree that changes under the walk. */
export function changedError(file: Buffer, expected: string, found: string): FormatError {
  const path = displayPath(file);
  return new FormatError(`${path} changed while it was read: expected ${expected}, found ${found}`, {
    code: "source-changed",
    hint: "make the archive of a tree that nothing writes to: a snapshot, or a copy",
    data: { path, expected, found },
  });
}

/** A link is followed, as casync does: what it leads to is read as patterns, and goes nowhere. */
function readExcludeFile(directory: number, path: string): Buffer {
  const descriptor = openat(directory, excludeFileName, openFlags.read | openFlags.nonBlock);
  try {
    if (!fstatSync(descriptor).isFile()) {
      throw new ConfigError(`${path} is no file`, {
        code: "exclude-file-invalid",
        hint: "rename it, or leave .caexclude files out of account with --exclude-file=no",
        data: { file: path },
      });
    }
    const content = Buffer.alloc(excludeFileLimit + 1);
    let size = 0;
    for (let count = -1; count !== 0 && size < content.length; size += count)
      count = readSync(descriptor, content, size, content.length - size, size);
    if (size > excludeFileLimit) {
      throw new ConfigError(`${path} is too long: expected at most ${excludeFileLimit} bytes`, {
        code: "exclude-file-invalid",
        data: { file: path },
      });
    }
    return content.subarray(0, size);
  } finally {
    closeSync(descriptor);
  }
}

/** Names joined by slashes. */
export function joinPath(names: readonly Uint8Array[]): Buffer {
  let length = Math.max(names.length - 1, 0);
  for (const name of names) length += name.length;
  const path = Buffer.allocUnsafe(length);
  let at = 0;
  for (const name of names) {
    if (at > 0) path[at++] = 0x2f;
    path.set(name, at);
    at += name.length;
  }
  return path;
}
