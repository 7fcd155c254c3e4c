/**
 * Outputs that are made beside their final name and go on where a former run ended: a run that was
 * killed or failed leaves `.NAME.partial`, and the next one uses what is good in it.
 *
 * That name is known beforehand, so what stands there is used only when it is ours alone: of the right
 * kind, owned by this user, without other names, writable by nobody else, and locked by no other run.
 * @module
 */
import { closeSync, fchmodSync, fstatSync, mkdirSync, openSync, type Stats, statSync } from "node:fs";
import { rename } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { FormatError, ImgtoolError, systemErrorCode } from "@imgtool/core";
import { AT_FDCWD, flush, openat, openFlags, temporaryName, tryLock } from "@imgtool/host";
import { outputError } from "./output-error.ts";
import { removeEntry } from "./tree/remove-entry.ts";

export type OutputKind = "file" | "directory";

/** What is made; it stays where it is, for the next run, when making fails. */
export interface PartialOutput {
  readonly path: string;
  /** Of a file, for reading and writing; of a directory, for reading. */
  readonly descriptor: number;
  /** Whether a former run began it. */
  readonly isResumed: boolean;
  /** Whether a next run will look for it: under any other name than the usual one it is of no use. */
  readonly isResumable: boolean;
  /** Set when there is something in it that a next run can use. */
  hasContent: boolean;
}

/** Where an output is made. */
function partialName(path: string): string {
  return join(dirname(path), `.${basename(path)}.partial`);
}

/**
 * Makes a file or directory: `make` fills it under its partial name, then it is flushed and renamed to
 * `path`. When `make` fails, what is there stays for the next run, unless it is nothing, the file
 * system is full or the source is not valid.
 * @param mode what it gets in the end, but for the umask; undefined when `make` sees to it. Until then
 *   it is its owner's alone.
 */
export async function makeResumably<T>(
  path: string,
  kind: OutputKind,
  mode: number | undefined,
  make: (partial: PartialOutput) => Promise<T>,
): Promise<T> {
  const partial = openPartial(path, kind);
  try {
    const result = await make(partial);
    if (mode !== undefined) fchmodSync(partial.descriptor, mode & ~process.umask());
    await flush(partial.path);
    await rename(partial.path, path);
    await flush(dirname(path));
    return result;
  } catch (error) {
    const isFull = error instanceof ImgtoolError && error.code === "no-space";
    // a source that is not valid will not be so next time
    const isHopeless = isFull || error instanceof FormatError || !partial.isResumable;
    if (isHopeless || !partial.hasContent) removeOutput(partial.path);
    nameFinally(error, partial.path, path);
    throw error;
  } finally {
    closeSync(partial.descriptor);
  }
}

/** Removes also what rm(1) fails at: a tree may have got read-only subvolumes and immutable files. */
function removeOutput(path: string): void {
  const parent = openat(AT_FDCWD, dirname(path), openFlags.read | openFlags.directory);
  try {
    removeEntry(parent, basename(path), { undoImmutable: true });
  } finally {
    closeSync(parent);
  }
}

/**
 * What a former run left, or something new; under a name of its own while another run, or something
 * else, has the usual one.
 * @throws EnvironmentError `output-not-writable`
 */
function openPartial(path: string, kind: OutputKind): PartialOutput {
  const [usual, other] = [partialName(path), temporaryName(path)];
  try {
    return (
      openNamed(usual, kind, true) ??
      openNamed(other, kind, false) ??
      fail(new RangeError(`both names beside ${path} are taken`))
    );
  } catch (error) {
    for (const name of [usual, other]) nameFinally(error, name, path);
    throw outputError(error, path);
  }
}

function openNamed(path: string, kind: OutputKind, isResumable: boolean): PartialOutput | undefined {
  const isNew = create(path, kind);
  const descriptor = open(path, kind);
  if (descriptor === undefined) return undefined;
  const isUsable = tryLock(descriptor) && isStill(path, descriptor) && isOurs(fstatSync(descriptor), kind);
  if (isUsable) return { path, descriptor, isResumed: !isNew, isResumable, hasContent: !isNew };
  closeSync(descriptor);
  return undefined;
}

/** Undefined for something else than what is expected there. */
function open(path: string, kind: OutputKind): number | undefined {
  const access = kind === "file" ? openFlags.readWrite : openFlags.read | openFlags.directory;
  try {
    return openat(AT_FDCWD, path, access | openFlags.noFollow | openFlags.nonBlock);
  } catch (error) {
    if (["ELOOP", "EISDIR", "ENOTDIR", "ENXIO", "EACCES", "ENOENT"].includes(systemErrorCode(error) ?? ""))
      return undefined;
    throw error;
  }
}

/** Returns false when something stands there. */
function create(path: string, kind: OutputKind): boolean {
  try {
    if (kind === "file") closeSync(openSync(path, "wx", 0o600));
    else mkdirSync(path, { mode: 0o700 });
    return true;
  } catch (error) {
    if (systemErrorCode(error) === "EEXIST") return false;
    throw error;
  }
}

function fail(error: Error): never {
  throw error;
}

/** Whether the name leads to what is open: the run that had the lock may have renamed it meanwhile. */
function isStill(path: string, descriptor: number): boolean {
  const [there, open] = [statSync(path, { throwIfNoEntry: false }), fstatSync(descriptor)];
  return there !== undefined && there.ino === open.ino && there.dev === open.dev;
}

function isOurs(stats: Stats, kind: OutputKind): boolean {
  const isKind = kind === "file" ? stats.isFile() && stats.nlink === 1 : stats.isDirectory();
  return isKind && stats.uid === process.geteuid?.() && (stats.mode & 0o022) === 0;
}

/** People know the name that they gave, not the partial one. */
function nameFinally(error: unknown, partial: string, path: string): void {
  if (!(error instanceof Error)) return;
  error.message = error.message.replaceAll(partial, path);
  if ("path" in error && error.path === partial) error.path = path;
}
