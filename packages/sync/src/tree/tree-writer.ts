/**
 * Turns an archive's events into files below one directory.
 *
 * The archive is hostile: every call names one component relative to the descriptor of a directory
 * that this code made or opened without following symlinks, so nothing outside the target can be
 * reached, whatever stands in the target already. Files that are equal stay; others are replaced by
 * rename.
 * @module
 */
import { createHash, type Hash, randomBytes } from "node:crypto";
import { closeSync } from "node:fs";
import { EnvironmentError, errorMessage, ImgtoolError, systemErrorCode } from "@imgtool/core";
import { kindOfMode, type CatarEvent, type CatarNode } from "@imgtool/catar";
import {
  cloneRange,
  displayPath,
  linkat,
  mknodat,
  openat,
  openFlags,
  readDirectory,
  renameat2,
  statx,
  symlinkat,
  type FileStatus,
} from "@imgtool/host";
import { unlock, unlockEntry } from "./attributes.ts";
import { FileComparison } from "./file-comparison.ts";
import { pageSize } from "../data-extents.ts";
import { ArchiveFiles, formerCandidate, type LinkCandidate, openDirectory, openPlainFile } from "./link-candidates.ts";
import { PatchedFile } from "./patched-file.ts";
import { closeSubvolume, makeDirectory, openSubvolume } from "./subvolume.ts";
import { removeEntry } from "./remove-entry.ts";
import { restoreMetadata, type RestoreContext } from "./restore.ts";
import { SparseFile } from "./sparse-file.ts";
import { joinPath } from "./walk-nodes.ts";

export interface TreeWriterOptions extends RestoreContext {
  /** Whether entries that the archive does not have are removed from directories that it has. */
  readonly delete: boolean;
  /** Whether the target directory itself stays as it is, with all that the archive does not name. */
  readonly keepsRoot: boolean;
  /** Whether attributes that forbid changes are taken off what is in the target. */
  readonly undoImmutable?: boolean;
  /** Whether zeros become holes. */
  readonly punchHoles: boolean;
  /** Whether a file that is changed shares the blocks that stay, where the file system can. */
  readonly reflink: boolean;
  /** Whether equal files with equal metadata, of seeds and of the archive, become names of one file. */
  readonly hardlink: boolean;
  /** Descriptors of trees like this one; they stay open. */
  readonly formers: readonly number[];
}

interface OpenNode {
  readonly node: CatarNode;
  readonly name: Buffer;
  /** Name under which it is made, where something stood under `name` before. */
  temporary: Buffer | undefined;
  descriptor: number | undefined;
  file: SparseFile | PatchedFile | undefined;
  /** The file that was there before, or that is to be linked, as long as it is equal. */
  comparison?: FileComparison | undefined;
  /** Where the file that is compared is, when it is to be linked. */
  link?: LinkCandidate | undefined;
  /** Digests the content of a file that may be equal to another of the archive. */
  readonly hash?: Hash | undefined;
  /** Of a directory: those of the same path in other trees. */
  readonly formers?: readonly number[];
  /** Of a directory that was there before: the names that the archive has in it. */
  readonly seen: Set<string> | undefined;
}

type EntryEvent = Extract<CatarEvent, { readonly type: "entry" }>;

export class TreeWriter implements Disposable {
  readonly #root: number;
  readonly #isFresh: boolean;
  readonly #options: TreeWriterOptions;
  readonly #open: OpenNode[] = [];
  readonly #files: ArchiveFiles | undefined;
  /** Devices that are known not to share blocks with the target. */
  readonly #unshared = new Set<string>();

  /**
   * @param root descriptor of the target directory; it stays open
   * @param isFresh whether the target is known to be empty
   */
  constructor(root: number, isFresh: boolean, options: TreeWriterOptions) {
    this.#root = root;
    this.#isFresh = isFresh;
    this.#options = options;
    if (options.hardlink) this.#files = new ArchiveFiles(options.flags);
  }

  /**
   * Takes the next event.
   * @throws EnvironmentError `device-needs-root`, `no-space`, `extract-failed`, with the path
   */
  take(event: CatarEvent): void {
    try {
      if (event.type === "entry") this.#enter(event);
      else if (event.type === "payload") this.#write(event.bytes);
      else this.#leave();
    } catch (error) {
      const name = event.type === "entry" && event.depth > 0 ? [event.name] : [];
      throw this.#explain(error, [...this.#open.slice(1).map((one) => one.name), ...name], event);
    }
  }

  /** Closes what is open; a file under way is removed. */
  [Symbol.dispose](): void {
    for (;;) {
      const node = this.#open.pop();
      if (node === undefined) return;
      this.#close(node);
      if (node.temporary !== undefined) {
        try {
          removeEntry(this.#parent(), node.temporary);
        } catch {
          // the error that brought us here is the one to report
        }
      }
    }
  }

  #enter({ depth, name, node }: EntryEvent): void {
    if (depth === 0) {
      const seen = this.#isFresh ? undefined : new Set<string>();
      const descriptor = this.#root;
      if (this.#options.undoImmutable === true) unlock(descriptor);
      const { formers } = this.#options;
      this.#open.push({
        node,
        name: Buffer.alloc(0),
        temporary: undefined,
        descriptor,
        file: undefined,
        seen,
        formers,
      });
      return;
    }
    const plain = Buffer.from(name);
    const parent = this.#open.at(-1);
    parent?.seen?.add(plain.toString("latin1"));
    const old = parent?.seen === undefined ? undefined : this.#status(plain);
    if (old !== undefined && this.#options.undoImmutable === true) unlockEntry(this.#parent(), plain);
    if (node.content.kind === "directory") this.#enterDirectory(plain, node, old);
    else this.#enterOther(plain, node, old);
  }

  #enterDirectory(name: Buffer, node: CatarNode, old: FileStatus | undefined): void {
    const reused = old !== undefined && kindOfMode(old.mode) === "directory";
    if (!reused) {
      if (old !== undefined) removeEntry(this.#parent(), name, this.#options);
      makeDirectory(this.#parent(), name, (node.metadata.attributes ?? 0n) & this.#options.flags);
    }
    const descriptor = openat(this.#parent(), name, openFlags.read | openFlags.directory | openFlags.noFollow);
    if (reused) openSubvolume(descriptor);
    const seen = reused ? new Set<string>() : undefined;
    const formers = this.#formers().flatMap((one) => openDirectory(one, name) ?? []);
    this.#open.push({ node, name, temporary: undefined, descriptor, file: undefined, seen, formers });
  }

  /** The innermost directory in other trees. */
  #formers(): readonly number[] {
    return this.#open.at(-1)?.formers ?? [];
  }

  #enterOther(name: Buffer, node: CatarNode, old: FileStatus | undefined): void {
    const { content } = node;
    if (content.kind === "file") {
      if (old !== undefined && this.#compare(name, node, content.size, old)) return;
      if (this.#options.hardlink && content.size > 0 && this.#compareLink(name, node, old)) return;
      if (this.#startClone(name, node, content.size, old)) return;
    }
    const temporary = old === undefined ? undefined : temporaryName();
    const made = temporary ?? name;
    const directory = this.#parent();
    let descriptor: number | undefined;
    switch (content.kind) {
      case "file":
        descriptor = openat(directory, made, createFlags, 0o600);
        break;
      case "symlink":
        symlinkat(content.target, directory, made);
        break;
      case "block":
        mknodat(directory, made, 0o060_600, content.major, content.minor);
        break;
      case "character":
        mknodat(directory, made, 0o020_600, content.major, content.minor);
        break;
      case "fifo":
        mknodat(directory, made, 0o010_600);
        break;
      default:
        mknodat(directory, made, 0o140_600);
    }
    const file = descriptor === undefined ? undefined : new SparseFile(descriptor, this.#options.punchHoles);
    const hash = content.kind === "file" ? this.#hash(content.size) : undefined;
    this.#open.push({ node, name, temporary, descriptor, file, seen: undefined, hash });
  }

  /** Empty files are not linked: there is nothing to share. */
  #hash(size: number): Hash | undefined {
    return this.#files === undefined || size === 0 ? undefined : createHash("sha256");
  }

  /** Begins to compare a file of the same length, unless other names share it. */
  #compare(name: Buffer, node: CatarNode, size: number, old: FileStatus): boolean {
    if (kindOfMode(old.mode) !== "file" || old.size !== size || old.links !== 1) return false;
    let descriptor: number;
    try {
      descriptor = openat(this.#parent(), name, openFlags.read | openFlags.noFollow | openFlags.nonBlock);
    } catch (error) {
      if (systemErrorCode(error) === "EACCES") return false;
      throw error;
    }
    const comparison = new FileComparison(descriptor, size);
    this.#open.push({
      node,
      name,
      temporary: undefined,
      descriptor,
      file: undefined,
      seen: undefined,
      comparison,
      hash: this.#hash(size),
    });
    return true;
  }

  /** Begins to compare a file that this one may become another name of. */
  #compareLink(name: Buffer, node: CatarNode, old: FileStatus | undefined): boolean {
    const { flags, idShift } = this.#options;
    let link: LinkCandidate | undefined;
    // a file with other names stays when nothing of it has to be changed
    if (old !== undefined && old.links > 1) link = formerCandidate(this.#parent(), name, node, flags, idShift);
    for (const former of this.#formers()) link ??= formerCandidate(former, name, node, flags, idShift);
    if (link === undefined) return false;
    const comparison = new FileComparison(link.descriptor, node.content.kind === "file" ? node.content.size : 0);
    const isThere = old !== undefined && old.inode === comparison.inode;
    const temporary = old === undefined || isThere ? undefined : temporaryName();
    const { descriptor } = link;
    const hash = this.#hash(comparison.size);
    this.#open.push({ node, name, temporary, descriptor, file: undefined, seen: undefined, comparison, link, hash });
    return true;
  }

  /** Begins a file as a clone of the one it replaces, or of one of its path in another tree. */
  #startClone(name: Buffer, node: CatarNode, size: number, old: FileStatus | undefined): boolean {
    if (!this.#options.reflink || !this.#options.punchHoles || size < pageSize) return false;
    const places = [...(old === undefined ? [] : [this.#parent()]), ...this.#formers()];
    for (const place of places) {
      const similar = openPlainFile(place, name);
      if (similar === undefined) continue;
      const made = old === undefined ? name : temporaryName();
      let clone: number | undefined;
      try {
        clone = this.#clone(similar, this.#parent(), made);
      } finally {
        closeSync(similar);
      }
      if (clone === undefined) continue;
      const file = new PatchedFile(clone, 0);
      const temporary = old === undefined ? undefined : made;
      this.#open.push({ node, name, temporary, descriptor: clone, file, seen: undefined, hash: this.#hash(size) });
      return true;
    }
    return false;
  }

  /** A new file with all the blocks of another; undefined where that is not possible. */
  #clone(source: number, directory: number, name: Buffer): number | undefined {
    const { fileSystem, size } = statx(source, "");
    if (!this.#options.reflink || !this.#options.punchHoles || size < pageSize || this.#unshared.has(fileSystem))
      return undefined;
    const descriptor = openat(directory, name, createFlags, 0o600);
    try {
      cloneRange(source, 0, 0, descriptor, 0);
      return descriptor;
    } catch (error) {
      closeSync(descriptor);
      removeEntry(directory, name);
      if (!cannotClone.has(systemErrorCode(error))) throw error;
      // what one file may not do (NOCOW attributes), others may
      if (systemErrorCode(error) !== "EINVAL") this.#unshared.add(fileSystem);
      return undefined;
    }
  }

  #write(bytes: Uint8Array): void {
    const open = this.#open.at(-1) as OpenNode;
    open.hash?.update(bytes);
    const { comparison } = open;
    if (comparison !== undefined) {
      if (comparison.goesOnWith(bytes)) return;
      // Not equal after all: a new file, with what was equal so far.
      this.#copyCompared(open, comparison);
    }
    open.file?.write(bytes);
  }

  /** Goes on with a new file instead of the compared one. */
  #copyCompared(open: OpenNode, comparison: FileComparison): void {
    const directory = this.#parentOf(this.#open.length - 1);
    const isNew = open.link !== undefined && open.temporary === undefined && !this.#isThere(directory, open.name);
    const made = isNew ? open.name : (open.temporary ??= temporaryName());
    const clone = this.#clone(comparison.descriptor, directory, made);
    open.comparison = undefined;
    open.descriptor = clone ?? openat(directory, made, createFlags, 0o600);
    open.file =
      clone === undefined
        ? new SparseFile(open.descriptor, this.#options.punchHoles)
        : new PatchedFile(clone, comparison.offset);
    using old = comparison;
    if (clone === undefined) old.copyTo(open.file);
    const isUnchanged = old.isUnchanged();
    open.link = undefined;
    if (isUnchanged) return;
    throw new EnvironmentError("a file was changed while it was compared", {
      code: "extract-failed",
      hint: "extract again, while nothing else writes to the target and the seeds",
      data: { path: displayPath(joinPath(this.#open.slice(1).map((one) => one.name))) },
    });
  }

  #isThere(directory: number, name: Buffer): boolean {
    try {
      statx(directory, name);
      return true;
    } catch (error) {
      if (systemErrorCode(error) === "ENOENT") return false;
      throw error;
    }
  }

  #close({ descriptor, comparison, formers }: OpenNode): void {
    if (formers !== this.#options.formers) formers?.forEach(closeSync);
    if (comparison !== undefined) comparison[Symbol.dispose]();
    else if (descriptor !== undefined && descriptor !== this.#root) closeSync(descriptor);
  }

  #leave(): void {
    const open = this.#open.at(-1) as OpenNode;
    if (open.link !== undefined && open.comparison !== undefined && this.#link(open, open.link, open.comparison))
      return;
    const { descriptor, temporary, name, node } = open;
    open.file?.finish();
    if (open.hash !== undefined && this.#linkToRestored(open, open.hash.digest())) return;
    if (this.#open.length === 1 && this.#options.keepsRoot) {
      this.#open.pop();
      return;
    }
    if (open.seen !== undefined) this.#removeOthers(open);
    const directory = this.#open.length > 1 ? this.#parentOf(this.#open.length - 1) : this.#root;
    restoreMetadata({ directory, name: temporary ?? name, descriptor }, node, this.#options);
    if (node.content.kind === "directory" && descriptor !== undefined && this.#open.length > 1) {
      closeSubvolume(descriptor, (node.metadata.attributes ?? 0n) & this.#options.flags);
    }
    if (temporary !== undefined) this.#replace(directory, temporary, name);
    this.#open.pop();
    this.#close(open);
  }

  /** Makes the file another name of an equal one; false when that cannot be: then it is copied. */
  #link(open: OpenNode, link: LinkCandidate, comparison: FileComparison): boolean {
    const directory = this.#parentOf(this.#open.length - 1);
    const made = open.temporary ?? open.name;
    if (!comparison.isUnchanged() || !this.#linkTo(link, comparison.inode, directory, made)) {
      this.#copyCompared(open, comparison);
      return false;
    }
    if (open.temporary !== undefined) this.#replace(directory, open.temporary, open.name);
    if (open.hash !== undefined) this.#remember(open, open.hash.digest(), comparison.inode);
    this.#open.pop();
    this.#close(open);
    return true;
  }

  /** Makes a file another name of one that the archive had before; false when there is none. */
  #linkToRestored(open: OpenNode, content: Buffer): boolean {
    const directory = this.#parentOf(this.#open.length - 1);
    const files = this.#files;
    const { inode } = statx(open.descriptor as number, "");
    const isLinked =
      files?.find(files.key(open.node, content), this.#root, (file) => {
        // it has been linked before, and is the one that was there
        if (file.inode === inode) return true;
        const made = temporaryName();
        if (!this.#linkTo(file, file.inode, directory, made)) return false;
        this.#replace(directory, made, open.name);
        if (open.temporary !== undefined) removeEntry(directory, open.temporary);
        return true;
      }) ?? false;
    if (isLinked) {
      this.#open.pop();
      this.#close(open);
    } else this.#remember(open, content, inode);
    return isLinked;
  }

  #remember({ node }: OpenNode, content: Buffer, inode: bigint): void {
    const names = this.#open.slice(1).map((one) => one.name);
    this.#files?.add(this.#files.key(node, content), names, inode);
  }

  #linkTo(link: Pick<LinkCandidate, "directory" | "name">, inode: bigint, directory: number, name: Buffer): boolean {
    try {
      linkat(link.directory, link.name, directory, name);
    } catch (error) {
      const code = systemErrorCode(error) ?? "";
      // It has that name already.
      if (code === "EEXIST") return statx(directory, name).inode === inode;
      if (["EXDEV", "EPERM", "EMLINK", "EACCES", "ENOENT", "ENOTSUP"].includes(code)) return false;
      throw error;
    }
    // Something else may have been put in the candidate's place since it was opened.
    if (statx(directory, name).inode === inode) return true;
    removeEntry(directory, name);
    return false;
  }

  #replace(directory: number, temporary: Buffer, name: Buffer): void {
    try {
      renameat2(directory, temporary, directory, name);
    } catch (error) {
      if (systemErrorCode(error) !== "EISDIR") throw error;
      removeEntry(directory, name, this.#options);
      renameat2(directory, temporary, directory, name);
    }
  }

  #removeOthers({ descriptor, seen }: OpenNode): void {
    for (const entry of readDirectory(descriptor as number)) {
      const name = entry.name.toString("latin1");
      const isLeftOver = temporaryPattern.test(name);
      if ((this.#options.delete || isLeftOver) && seen?.has(name) === false)
        removeEntry(descriptor as number, entry.name, this.#options);
    }
  }

  #status(name: Buffer): FileStatus | undefined {
    try {
      return statx(this.#parent(), name);
    } catch (error) {
      if (systemErrorCode(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  /** Descriptor of the directory that is open innermost. */
  #parent(): number {
    return this.#parentOf(this.#open.length);
  }

  #parentOf(depth: number): number {
    return this.#open[depth - 1]?.descriptor ?? this.#root;
  }

  #explain(error: unknown, names: readonly Uint8Array[], event: CatarEvent): unknown {
    const reason = systemErrorCode(error);
    if (reason === undefined || error instanceof ImgtoolError) return error;
    const path = names.length === 0 ? "." : displayPath(joinPath(names));
    const kind = event.type === "entry" ? event.node.content.kind : undefined;
    const data = { path, reason, kind };
    if (reason === "EPERM" && (kind === "block" || kind === "character")) {
      return new EnvironmentError(`cannot make the ${kind} device ${path}: it needs privilege`, {
        code: "device-needs-root",
        hint: "extract as root, or make the archive without device-nodes",
        data,
        cause: error,
      });
    }
    const noSpace = reason === "ENOSPC" || reason === "EDQUOT";
    return new EnvironmentError(`cannot restore ${path}: ${errorMessage(error)}`, {
      code: noSpace ? "no-space" : "extract-failed",
      ...(noSpace ? { hint: "free space on the file system of the target" } : {}),
      data,
      cause: error,
    });
  }
}

const createFlags = openFlags.readWrite | openFlags.create | openFlags.exclusive | openFlags.noFollow;

const cannotClone: ReadonlySet<string | undefined> = new Set(["EOPNOTSUPP", "ENOTSUP", "EXDEV", "EINVAL", "ENOTTY"]);

/** What a run that was killed leaves beside a file that it was about to replace. */
const temporaryPattern = /^\.imgtool-[0-9a-f]{16}$/;

function temporaryName(): Buffer {
  return Buffer.from(`.imgtool-${randomBytes(8).toString("hex")}`);
}
