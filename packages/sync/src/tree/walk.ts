/**
 * Walks a directory and yields its archive, piece by piece. Directories are read through descriptors
 * and in bytewise order of names; symlinks are never followed.
 *
 * The walk itself is synchronous, since a step of an asynchronous iteration costs as much as the
 * system calls for a small file, and more the deeper it is; only contents are read without blocking,
 * by whoever takes the steps.
 * @module
 */
import { closeSync, fstatSync, read, readSync } from "node:fs";
import { promisify } from "node:util";
import { compareBytes, ConfigError, FormatError, NotFoundError, systemErrorCode, throwIfAborted } from "@imgtool/core";
import {
  CatarEncoder,
  defaultArchiveFlags,
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

/** A piece of an archive, and the file that its bytes were read from, if they were. */
export interface TreePiece {
  /** Never changed afterwards. */
  readonly bytes: Uint8Array;
  readonly origin?: {
    /** Relative to the walked directory. */
    readonly path: Buffer;
    /** Of the first byte in the file. */
    readonly offset: number;
  };
}

/** A step of a walk: records of the archive, or a file that is open and whose content comes next. */
export type WalkStep = { readonly bytes: Uint8Array } | { readonly content: FileContent };

export interface FileContent {
  readonly descriptor: number;
  /** Bytes that the archive says it has. */
  readonly size: number;
  /** Relative to the walked directory. */
  readonly path: Buffer;
}

export interface WalkOptions {
  /** Normalized feature flags. Default: casync's. */
  readonly flags?: bigint;
  /** The host's range of ids that the tree's owners are in. Default: they are recorded as they are. */
  readonly idShift?: IdShift | undefined;
  readonly signal?: AbortSignal | undefined;
}

const api: ReadonlySet<number> = new Set(Object.values(apiFileSystems));
const readAsync = promisify(read);
const pieceSize = 1024 ** 2;
// Asynchronous reads cost some 50 µs each: small files are cheaper without.
const synchronousSize = 64 * 1024;
const excludeFileBytes = Buffer.from(excludeFileName);
// Of a .caexclude file: far more than one has, and no more than memory.
const excludeFileLimit = 1024 ** 2;

/**
 * The archive of a directory.
 * @throws NotFoundError `source-missing`; FormatError `source-changed` when a file shrinks while it is
 *   read; CatarError `catar-too-deep`; SystemCallError for what cannot be read
 */
export async function* walkTree(path: string, options: WalkOptions = {}): AsyncGenerator<TreePiece, void> {
  for (const step of walkSteps(path, options)) {
    if ("bytes" in step) {
      yield step;
      continue;
    }
    const { size, path: file } = step.content;
    for (let offset = 0; offset < size;) {
      throwIfAborted(options.signal);
      const buffer = Buffer.allocUnsafeSlow(Math.min(pieceSize, size - offset));
      const reading = readContent(step.content, buffer, offset);
      const count = typeof reading === "number" ? reading : await reading;
      yield { bytes: buffer.subarray(0, count), origin: { path: file, offset } };
      offset += count;
    }
  }
}

/**
 * Reads from a file of a walk: at once when it is small.
 * @throws FormatError `source-changed` where there is nothing more, though there should be
 */
export function readContent(content: FileContent, buffer: Uint8Array, offset: number): number | Promise<number> {
  const { descriptor, size } = content;
  const length = Math.min(buffer.length, size - offset);
  const checked = (count: number): number => {
    if (count === 0) throw changed(content.path, `${size} bytes`, `${offset} bytes`);
    return count;
  };
  if (size <= synchronousSize) return checked(readSync(descriptor, buffer, 0, length, offset));
  return readAsync(descriptor, buffer, 0, length, offset).then(({ bytesRead }) => checked(bytesRead));
}

/**
 * The steps of walkTree(). The content that a step announces is to be read, all of it, before the next
 * step is taken.
 */
export function* walkSteps(path: string, options: WalkOptions = {}): Generator<WalkStep, void> {
  const flags = options.flags ?? defaultArchiveFlags;
  const root = openRoot(path);
  try {
    const walker = new Walker(flags, statx(root, "").mountId, options);
    yield* walker.root(root, Buffer.from(path));
    walker.encoder.finish();
  } finally {
    closeSync(root);
  }
}

function openRoot(path: string): number {
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
  readonly encoder: CatarEncoder;
  readonly #flags: bigint;
  readonly #readsAttributes: boolean;
  readonly #readsSubvolumes: boolean;
  readonly #rootMount: bigint;
  readonly #idShift: IdShift | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #path: Buffer[] = [];
  /** Magic numbers by device: a tree has few of them, and many files. */
  readonly #types = new Map<string, number>();

  constructor(flags: bigint, rootMount: bigint, { signal, idShift }: WalkOptions) {
    this.encoder = new CatarEncoder(flags);
    this.#flags = flags;
    this.#readsAttributes = (flags & (featureSets.chattr | featureSets["fat-attrs"] | excludeNodump)) !== 0n;
    this.#readsSubvolumes = (flags & (features.subvolume | features["subvolume-ro"])) !== 0n;
    this.#rootMount = rootMount;
    this.#idShift = idShift;
    this.#signal = signal;
  }

  *root(descriptor: number, path: Buffer): Generator<WalkStep, void> {
    yield* this.#directory(undefined, this.#openPlace(AT_FDCWD, path, descriptor), ExcludeRules.none);
  }

  *#directory(name: Buffer | undefined, place: OpenPlace, inherited: ExcludeRules): Generator<WalkStep, void> {
    yield { bytes: this.encoder.entry(name, collectNode(place, this.#flags, this.#idShift)) };
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
    yield { bytes: this.encoder.leave() };
  }

  *#child(directory: number, { name, type }: DirectoryEntry, rules: ExcludeRules): Generator<WalkStep, void> {
    const isPlain = type === typeDirectory || type === typeFile;
    const status = isPlain ? undefined : statx(directory, name);
    const kind = status === undefined ? (type === typeDirectory ? "directory" : "file") : kindOfMode(status.mode);
    if (kind === undefined || !recordsKind(this.#flags, kind)) return;
    if (rules.excludes(name, kind === "directory")) return;
    if (status !== undefined && kind !== "file" && kind !== "directory") {
      if (this.#isLeftOutMount(status)) return;
      const node = collectNode({ directory, name, descriptor: undefined, status }, this.#flags, this.#idShift);
      yield { bytes: this.encoder.entry(name, node) };
      return;
    }
    // Non-blocking: whatever was put in the file's place since must not make us wait.
    const mode = openFlags.read | openFlags.noFollow | openFlags.nonBlock;
    const descriptor = openat(directory, name, kind === "directory" ? mode | openFlags.directory : mode);
    try {
      const place = this.#openPlace(directory, name, descriptor);
      const found = kindOfMode(place.status.mode);
      if (found !== kind) throw this.#changed(kind, found ?? "another kind");
      if (this.#isLeftOutMount(place.status) || this.#isNodump(place)) return;
      yield* kind === "directory" ? this.#directory(name, place, rules.below(name)) : this.#file(name, place);
    } finally {
      closeSync(descriptor);
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

  *#file(name: Buffer, place: OpenPlace): Generator<WalkStep, void> {
    const { descriptor } = place;
    const size = api.has(place.fileSystem) ? 0 : place.status.size;
    const node = collectNode({ ...place, status: { ...place.status, size } }, this.#flags, this.#idShift);
    yield { bytes: this.encoder.entry(name, node) };
    if (size === 0) return;
    yield { content: { descriptor, size, path: joinPath(this.#path) } };
    this.encoder.payload(size);
  }

  #changed(expected: string, found: string): FormatError {
    return changed(joinPath(this.#path), expected, found);
  }
}

function changed(file: Buffer, expected: string, found: string): FormatError {
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
  const slash = Buffer.from("/");
  return Buffer.concat(names.flatMap((name, index) => (index === 0 ? [name] : [slash, name])));
}
