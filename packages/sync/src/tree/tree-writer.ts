/**
 * Turns an archive's events into files below one directory.
 *
 * The archive is hostile: every call names one component relative to the descriptor of a directory
 * that this code made or opened without following symlinks, so nothing outside the target can be
 * reached, whatever stands in the target already. Files that are equal stay; others are replaced by
 * rename.
 * @module
 */
import { randomBytes } from "node:crypto";
import { closeSync } from "node:fs";
import { EnvironmentError, errorMessage, ImgtoolError, systemErrorCode } from "@imgtool/core";
import { kindOfMode, type CatarEvent, type CatarNode } from "@imgtool/catar";
import {
  displayPath,
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
import { closeSubvolume, makeDirectory, openSubvolume } from "./subvolume.ts";
import { removeEntry } from "./remove-entry.ts";
import { restoreMetadata, type RestoreContext } from "./restore.ts";
import { SparseFile } from "./sparse-file.ts";
import { joinPath } from "./walk.ts";

export interface TreeWriterOptions extends RestoreContext {
  /** Whether entries that the archive does not have are removed from directories that it has. */
  readonly delete: boolean;
  /** Whether the target directory itself stays as it is, with all that the archive does not name. */
  readonly keepsRoot: boolean;
  /** Whether attributes that forbid changes are taken off what is in the target. */
  readonly undoImmutable?: boolean;
  /** Whether zeros become holes. */
  readonly punchHoles: boolean;
}

interface OpenNode {
  readonly node: CatarNode;
  readonly name: Buffer;
  /** Name under which it is made, where something stood under `name` before. */
  temporary: Buffer | undefined;
  descriptor: number | undefined;
  file: SparseFile | undefined;
  /** The file that was there before, as long as it is equal. */
  comparison?: FileComparison | undefined;
  /** Of a directory that was there before: the names that the archive has in it. */
  readonly seen: Set<string> | undefined;
}

type EntryEvent = Extract<CatarEvent, { readonly type: "entry" }>;

export class TreeWriter implements Disposable {
  readonly #root: number;
  readonly #isFresh: boolean;
  readonly #options: TreeWriterOptions;
  readonly #open: OpenNode[] = [];

  /**
   * @param root descriptor of the target directory; it stays open
   * @param isFresh whether the target is known to be empty
   */
  constructor(root: number, isFresh: boolean, options: TreeWriterOptions) {
    this.#root = root;
    this.#isFresh = isFresh;
    this.#options = options;
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
      this.#open.push({ node, name: Buffer.alloc(0), temporary: undefined, descriptor, file: undefined, seen });
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
    this.#open.push({ node, name, temporary: undefined, descriptor, file: undefined, seen });
  }

  #enterOther(name: Buffer, node: CatarNode, old: FileStatus | undefined): void {
    const { content } = node;
    if (old !== undefined && content.kind === "file" && this.#compare(name, node, content.size, old)) return;
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
    this.#open.push({ node, name, temporary, descriptor, file, seen: undefined });
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
    this.#open.push({ node, name, temporary: undefined, descriptor, file: undefined, seen: undefined, comparison });
    return true;
  }

  #write(bytes: Uint8Array): void {
    const open = this.#open.at(-1) as OpenNode;
    const { comparison } = open;
    if (comparison !== undefined) {
      if (comparison.goesOnWith(bytes)) return;
      // Not equal after all: a new file, with what was equal so far.
      const temporary = temporaryName();
      const descriptor = openat(this.#parentOf(this.#open.length - 1), temporary, createFlags, 0o600);
      open.comparison = undefined;
      open.temporary = temporary;
      open.descriptor = descriptor;
      open.file = new SparseFile(descriptor, this.#options.punchHoles);
      using old = comparison;
      if (!old.copyTo(open.file))
        throw new EnvironmentError("a file of the target was changed while it was compared", {
          code: "extract-failed",
          hint: "extract again, while nothing else writes to the target",
          data: { path: displayPath(joinPath(this.#open.slice(1).map((one) => one.name))) },
        });
    }
    open.file?.write(bytes);
  }

  #close({ descriptor, comparison }: OpenNode): void {
    if (comparison !== undefined) comparison[Symbol.dispose]();
    else if (descriptor !== undefined && descriptor !== this.#root) closeSync(descriptor);
  }

  #leave(): void {
    const open = this.#open.at(-1) as OpenNode;
    const { descriptor, temporary, name, node } = open;
    open.file?.finish();
    if (this.#open.length === 1 && this.#options.keepsRoot) {
      this.#open.pop();
      return;
    }
    if (open.seen !== undefined && this.#options.delete) this.#removeOthers(open);
    const directory = this.#open.length > 1 ? this.#parentOf(this.#open.length - 1) : this.#root;
    restoreMetadata({ directory, name: temporary ?? name, descriptor }, node, this.#options);
    if (node.content.kind === "directory" && descriptor !== undefined && this.#open.length > 1) {
      closeSubvolume(descriptor, (node.metadata.attributes ?? 0n) & this.#options.flags);
    }
    if (temporary !== undefined) this.#replace(directory, temporary, name);
    this.#open.pop();
    this.#close(open);
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
      if (seen?.has(entry.name.toString("latin1")) === false)
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

const createFlags = openFlags.write | openFlags.create | openFlags.exclusive | openFlags.noFollow;

function temporaryName(): Buffer {
  return Buffer.from(`.imgtool-${randomBytes(8).toString("hex")}`);
}
